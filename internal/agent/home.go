package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"licet/internal/durable"
	"licet/refusal"
)

// home is the folder that holds everything of this machine:
//
//	trust/VENDOR.vendor.trust   whose licenses are accepted
//	blocklists/VENDOR.blocks    what its vendor has blocked
//	origins/VENDOR.origins      whose pages may ask to speak to it
//	containers/SERIAL/          one folder for each container
//	agent.sock                  where the agent listens while it runs
//	lock                        held by whoever writes
type home struct {
	dir  string
	disk *durable.Disk
}

func (h home) path(name string) string { return filepath.Join(h.dir, name) }
func (h home) trust() string           { return h.path("trust") }
func (h home) socket() string          { return h.path("agent.sock") }

// lockWait is how long a command waits for another command to finish; an agent
// that holds the lock answers on its socket instead.
const (
	lockWait  = 60 * time.Second
	lockPause = 20 * time.Millisecond
)

// errAgentRuns says that the lock is held by an agent that answers.
var errAgentRuns = errors.New("agent: an agent runs")

// lock takes the home's lock, making the folder if there is none. While another
// process holds it, it waits, unless an agent answers: then it fails with
// errAgentRuns. The kernel releases the lock of a process that dies.
func (h home) lock(ctx context.Context) (*flock.Flock, error) {
	if err := h.disk.MkdirAll(h.dir, durable.PrivateDir); err != nil {
		return nil, storage(err)
	}
	lock := flock.New(h.path("lock"))
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		held, err := lock.TryLock()
		switch {
		case err != nil:
			return nil, storage(err)
		case held:
			return lock, nil
		case h.answers(ctx):
			return nil, errAgentRuns
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, refusal.New(refusal.AgentUnreachable, "Another program holds %s and does not let go of it. Nothing was changed.", h.path("lock")).
					Hinted("Wait for the other licet to end, or stop it, then try again.")
			}
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// storage turns a failure of the disk into a refusal where it says what to do.
func storage(err error) error {
	switch {
	case err == nil:
		return nil
	case isRefusal(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EFBIG):
		kept := "The old state was kept."
		if errors.Is(err, durable.ErrUnsure) {
			kept = "The new state is written, but a power cut may bring the old one back."
		}
		return refusal.New(refusal.StorageFull, "The disk is full or cannot be written (%v). %s", reason(err), kept)
	case errors.Is(err, fs.ErrPermission):
		var p *fs.PathError
		what := "The folder of the licenses"
		if errors.As(err, &p) {
			what = p.Path
		}
		return refusal.New(refusal.Forbidden, "%s belongs to another user, so it cannot be used. Nothing was changed.", what).
			Hinted("Run the command as the user whose licenses these are, or choose another folder with --home.")
	}
	return err
}

// reason is the innermost of a chain of errors, without paths.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func isRefusal(err error) bool {
	_, ok := refusal.As(err)
	return ok
}

// missing reports whether err says that there is no such file.
func missing(err error) bool { return errors.Is(err, os.ErrNotExist) }
