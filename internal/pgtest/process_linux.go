package pgtest

import (
	"os"
	"syscall"
)

// attributes makes a process end with the test process, and run as an
// unprivileged user when the tests run as root.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		if uid, gid, err := serverUser(); err == nil {
			a.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		}
	}
	return a
}
