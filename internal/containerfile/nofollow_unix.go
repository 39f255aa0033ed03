//go:build unix

package containerfile

import "syscall"

// openNoFollow makes opening a symbolic link fail.
const openNoFollow = syscall.O_NOFOLLOW
