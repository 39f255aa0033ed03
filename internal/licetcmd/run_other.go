//go:build !unix

package licetcmd

import (
	"os"
	"os/exec"
)

// gentle asks a process to end; there is no such signal here, so it is ended.
var gentle os.Signal = os.Kill

// passedOn are the signals that a command gets as this program does.
var passedOn = []os.Signal{os.Interrupt}

// statusOf is the exit status.
func statusOf(e *exec.ExitError) int { return e.ExitCode() }

// atTerminal reports whether a terminal sends a signal to everything that runs in
// it.
func atTerminal(os.Signal) bool { return true }
