package scenarios

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// losesCommand loses the vendor's server and brings it back from a back-up, at the
// same address. With -beside the old one goes on, as the vendor "old".
func losesCommand(ts *testscript.TestScript, s *stage, args []string) error {
	beside := len(args) > 0 && args[0] == "-beside"
	if beside {
		args = args[1:]
	}
	if len(args) < 1 {
		return errUsage
	}
	old := s.vendors[""]
	listen := "127.0.0.1:0"
	if !beside {
		old.stop()
		old.stop = nil
		listen = strings.TrimPrefix(old.url, "http://")
	}
	s.losses++
	v := &vendor{dir: filepath.Join(s.work, fmt.Sprint("central-", s.losses)), database: s.database(s.t)}
	line := append([]string{"restore-backup", "--key", filepath.Join(old.dir, "secret.key"), "--reason", "the disk is gone"}, fileArgs(ts, args)...)
	status, out, errs := s.central(v, line...)
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errs)
	if status != 0 {
		return fmt.Errorf("restore-backup ended with status %d: %s", status, errs)
	}
	if beside {
		s.vendors["old"] = old
		ts.Setenv("OLD", old.url)
	}
	s.vendors[""] = v
	if at := slices.Index(args, "--journal"); at >= 0 { // it goes on where it was
		if status, _, errs := s.central(v, "journal", "begin", args[at+1]); status != 0 {
			return fmt.Errorf("journal begin ended with status %d: %s", status, errs)
		}
	}
	if err := s.open(v, listen); err != nil {
		return err
	}
	ts.Setenv("CENTRAL", v.url)
	return nil
}
