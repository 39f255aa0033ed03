// Package sharing splits a secret into n shares of which any k give it back
// and fewer tell nothing about it: Shamir's scheme over GF(256), byte by byte,
// with the polynomial x⁸+x⁴+x³+x+1 (docs/decisions/0006).
//
// No branch and no memory access depends on a secret byte or a share's bytes.
// Shares carry no checksum: wrong shares give a wrong secret. Callers keep
// shares under authenticated encryption.
package sharing

import (
	"errors"
	"fmt"
	"io"
)

// MaxShares is the largest number of shares: the field's elements other than
// zero, at which the secret itself stands.
const MaxShares = 255

// Share is one point of a sharing.
type Share struct {
	// X is the share's number, 1 to [MaxShares].
	X byte
	// Y has the length of the secret.
	Y []byte
}

// ErrShares says that shares do not fit together: too few, of different
// lengths, with number zero, or with one number twice.
var ErrShares = errors.New("sharing: shares do not fit together")

// Split makes n shares, numbered from 1, of which any k give secret back.
// 1 ≤ k ≤ n ≤ [MaxShares]. random must be a cryptographic source.
func Split(secret []byte, n, k int, random io.Reader) ([]Share, error) {
	if k < 1 || k > n || n > MaxShares {
		return nil, fmt.Errorf("sharing: cannot make %d of %d shares", k, n)
	}
	// Row i holds the coefficients of xⁱ, one for each byte of the secret.
	rows := make([][]byte, k)
	rows[0] = secret
	for i := 1; i < k; i++ {
		rows[i] = make([]byte, len(secret))
		if _, err := io.ReadFull(random, rows[i]); err != nil {
			return nil, fmt.Errorf("sharing: random bytes: %w", err)
		}
	}
	shares := make([]Share, n)
	for s := range shares {
		x := byte(s + 1)
		y := make([]byte, len(secret))
		for i := k - 1; i >= 0; i-- {
			for b := range y {
				y[b] = multiply(y[b], x) ^ rows[i][b]
			}
		}
		shares[s] = Share{X: x, Y: y}
	}
	return shares, nil
}

// Combine gives back the secret of which shares were made with threshold k. It
// uses the first k of them. Fewer give [ErrShares].
func Combine(shares []Share, k int) ([]byte, error) {
	if k < 1 || len(shares) < k {
		return nil, ErrShares
	}
	shares = shares[:k]
	var seen [MaxShares + 1]bool
	for _, share := range shares {
		if share.X == 0 || seen[share.X] || len(share.Y) != len(shares[0].Y) {
			return nil, ErrShares
		}
		seen[share.X] = true
	}
	secret := make([]byte, len(shares[0].Y))
	for i, share := range shares {
		// Lagrange's weight of this point at zero: ∏ xⱼ / (xⱼ − xᵢ).
		over, under := byte(1), byte(1)
		for j, other := range shares {
			if j != i {
				over = multiply(over, other.X)
				under = multiply(under, other.X^share.X)
			}
		}
		weight := multiply(over, invert(under))
		for b := range secret {
			secret[b] ^= multiply(share.Y[b], weight)
		}
	}
	return secret, nil
}

// reduction is the polynomial without x⁸.
const reduction = 0x1b

// multiply is the field's product, in the same time for all operands.
func multiply(a, b byte) byte {
	var product byte
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ reduction&-(a>>7)
		b >>= 1
	}
	return product
}

// invert is a²⁵⁴, which is 1/a; zero stays zero.
func invert(a byte) byte {
	square := multiply(a, a) // a²
	inverse := square
	for range 6 { // a² · a⁴ · … · a¹²⁸
		square = multiply(square, square)
		inverse = multiply(inverse, square)
	}
	return inverse
}
