package seal

import (
	"crypto"
	"crypto/ed25519"
)

// Channel signs, with the container's signing key, the handshakes and the
// certificate of a channel to a license server (TLS 1.3): no document of ours begins
// like what is signed there, so that neither passes for the other.
func (k *ContainerKeys) Channel() crypto.Signer { return channelKey{k.signing} }

type channelKey struct{ ed25519.PrivateKey }

// String keeps the secret out of whatever is printed.
func (channelKey) String() string { return "key of a channel" }
