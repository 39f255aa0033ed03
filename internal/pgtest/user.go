package pgtest

import (
	"errors"
	"os/user"
	"strconv"
)

// serverUser is the unprivileged user that runs the server when the tests run
// as root, which PostgreSQL refuses.
func serverUser() (uid, gid uint32, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		id, err1 := strconv.ParseUint(u.Uid, 10, 32)
		group, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return uint32(id), uint32(group), nil
		}
	}
	return 0, 0, errors.New("pgtest: PostgreSQL does not run as root, and there is neither a user postgres nor nobody; add one with: useradd --system postgres")
}
