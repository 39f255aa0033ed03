//go:build !linux

package pgtest

import "syscall"

// attributes changes nothing here: run the tests as an ordinary user; a server
// outlives a test process that is killed.
func attributes() *syscall.SysProcAttr { return nil }
