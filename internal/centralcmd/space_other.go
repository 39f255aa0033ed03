//go:build !unix

package centralcmd

import "errors"

func freeSpace(string) (free, all uint64, err error) {
	return 0, 0, errors.ErrUnsupported
}
