// Package hostile attacks the server as it is shipped, from outside: endless
// bodies, files that are none, slow senders, floods, altered files, guessed
// tickets, addresses that are none. It has tests only, and they stay on this
// machine; many senders are many addresses of its loopback network.
package hostile
