// Package home knows where the licenses of a machine lie, so that the licet
// program and the programs it licenses look in the same place.
package home

import (
	"os"
	"path/filepath"
	"runtime"
)

// Variable names the environment variable that names the folder.
const Variable = "LICET_HOME"

// Find is the folder that the environment names, else [Default].
func Find(getenv func(string) string) string {
	if dir := getenv(Variable); dir != "" {
		return dir
	}
	return Default(getenv)
}

// Default is the system's place for the state of a service for root, the
// user's place for state otherwise.
func Default(getenv func(string) string) string {
	const name = "licet"
	switch {
	case runtime.GOOS == "linux" && os.Geteuid() == 0:
		return filepath.Join("/var/lib", name)
	case filepath.IsAbs(getenv("XDG_STATE_HOME")):
		return filepath.Join(getenv("XDG_STATE_HOME"), name)
	case runtime.GOOS == "windows" || runtime.GOOS == "darwin":
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, name)
		}
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", name)
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		dir = "." // then licenses are looked for where the program runs
	}
	return filepath.Join(dir, ".local", "state", name)
}
