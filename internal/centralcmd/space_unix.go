//go:build unix

package centralcmd

import "golang.org/x/sys/unix"

// freeSpace is how many bytes are free for this user where path is, and of how
// many.
func freeSpace(path string) (free, all uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize)
	return uint64(s.Bavail) * size, uint64(s.Blocks) * size, nil
}
