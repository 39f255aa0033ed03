package machine

import "os"

// Local reads the traits of this machine with [Read].
func Local() []Trait {
	return Read(os.DirFS("/"))
}

// LocalEnvironment is [Environment] of this machine.
func LocalEnvironment() string {
	return Environment(os.DirFS("/"))
}
