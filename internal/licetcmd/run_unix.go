//go:build unix

package licetcmd

import (
	"os"
	"os/exec"
	"syscall"
)

// gentle asks a process to end.
var gentle os.Signal = syscall.SIGTERM

// passedOn are the signals that a command gets as this program does.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT,
}

// statusOf is the exit status; a command that a signal ended has 128 and its number,
// as in a shell.
func statusOf(e *exec.ExitError) int {
	if w, ok := e.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return e.ExitCode()
}

// atTerminal reports whether a terminal sends a signal to everything that runs in
// it.
func atTerminal(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGWINCH
}
