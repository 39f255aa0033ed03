// Package containerfile keeps one machine container in two slots, so that a
// crash at any moment leaves the old content or the new (docs/protocol.md R6,
// docs/decisions/0006).
//
// The files of a container, all private to their owner:
//
//	HOME/containers/SERIAL/a     slot
//	HOME/containers/SERIAL/b     slot
//	HOME/containers/SERIAL/lock  empty; locked by whoever reads or writes
//
// A write goes to the slot that is not the current one. The highest complete
// slot is the current one.
//
// The container's state opens with the loose secret of its binding
// ([machine.Binding]), each license body with the secret of its tolerance.
// A body whose tolerance is not reached is locked; it is carried along as it is.
package containerfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"licet/internal/durable"
	"licet/internal/machine"
)

// The tolerances of a license body: how much of the machine may change before
// the license stops working.
const (
	Loose  = "loose"
	Medium = "medium"
	Tight  = "tight"
)

func knownTolerance(name string) bool {
	return name == Loose || name == Medium || name == Tight
}

// Errors of this package. A container that is not there gives [fs.ErrNotExist],
// one that exists already [fs.ErrExist].
var (
	// ErrDamaged says that no slot is whole; the error is a [*DamagedError].
	ErrDamaged = errors.New("containerfile: container is damaged")
	// ErrOtherMachine says that too few traits match; the error is an
	// [*OtherMachineError].
	ErrOtherMachine = errors.New("containerfile: container belongs to another machine")
	// ErrNewerFormat says that a later version of the program wrote the file.
	ErrNewerFormat = errors.New("containerfile: container was written by a newer program")
	// ErrLocked says that another process holds the container.
	ErrLocked = errors.New("containerfile: container is in use by another process")
	// ErrStale says that the container was written since it was opened, or that
	// an earlier write failed: open it again.
	ErrStale = errors.New("containerfile: container changed since it was opened")
)

// DamagedError names a file that cannot be used. It is [ErrDamaged].
type DamagedError struct {
	Path   string
	Reason error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("container file %s is damaged: %v", e.Path, e.Reason)
}

// Unwrap gives [ErrDamaged] and the reason.
func (e *DamagedError) Unwrap() []error { return []error{ErrDamaged, e.Reason} }

// OtherMachineError tells which traits differ. It is [ErrOtherMachine].
type OtherMachineError struct {
	Serial string
	Match  machine.Match
}

func (e *OtherMachineError) Error() string {
	return fmt.Sprintf("container %s belongs to another machine, or this one changed too much. %s", e.Serial, e.Match.Sentence())
}

// Unwrap gives [ErrOtherMachine].
func (e *OtherMachineError) Unwrap() error { return ErrOtherMachine }

// Content is what a container keeps to itself.
type Content struct {
	// State is the container's own: keys, log, counters. Its meaning is the
	// caller's.
	State []byte
	// Bodies are the licenses, each named once.
	Bodies []Body
	// Counts says that State holds counters. A program that knows only format 1
	// would write the container without them: it is not to open it.
	Counts bool
	// Moves says that State holds units that moved between containers, which what knows
	// only the formats before would forget.
	Moves bool
}

// Body is one license body.
type Body struct {
	// License names the body within the container.
	License string
	// Tolerance is [Loose], [Medium] or [Tight].
	Tolerance string
	// Data is the body's bytes; nil if Locked.
	Data []byte
	// Locked says that the machine changed more than the tolerance allows. A
	// locked body that is written back stays as it is.
	Locked bool
	// Reissue says that the body is gone from this container and central must
	// send it again. Such a body is Locked.
	Reissue bool
}

const (
	containersDir = "containers"
	lockName      = "lock"
	deletedPrefix = ".deleted-"
	lockRetry     = 10 * time.Millisecond
)

// LockWait is the longest wait for another process's lock, whatever the
// context allows.
const LockWait = 5 * time.Second

// slotNames are the two slots; a write goes to the one that is not current.
var slotNames = [2]string{"a", "b"}

// File is one container's file as it was when it was opened. It is not safe
// for concurrent use. It holds no open file, unless [File.Lock] was called.
type File struct {
	disk   *durable.Disk
	home   string
	serial string

	current slot
	at      int     // the current slot's place in slotNames
	damaged []error // slots that were refused
	failed  bool    // a write failed: what the disk holds is unknown

	held *flock.Flock // set between Lock and Unlock
}

// Create makes a container for h.Serial, bound to traits, with c in it. h.Write
// and h.Format are set by this package.
func Create(ctx context.Context, disk *durable.Disk, home string, h Header, traits []machine.Trait, c Content, random io.Reader) (*File, error) {
	h.Format, h.Write = c.format(), 1
	if !h.valid() {
		return nil, fmt.Errorf("containerfile: header %+v makes no sense", h)
	}
	h.Write = 0 // the first write counts it up and goes to slot a
	f := &File{disk: disk, home: home, serial: h.Serial, at: 1, current: slot{header: h}}
	binding, secrets, err := machine.Bind(traits, random)
	if err != nil {
		return nil, err
	}
	if err := disk.MkdirAll(filepath.Join(home, containersDir), durable.PrivateDir); err != nil {
		return nil, err
	}
	all, err := os.OpenRoot(filepath.Join(home, containersDir))
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := disk.Mkdir(all, h.Serial, durable.PrivateDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := disk.CreateFile(dir, lockName, nil, durable.PrivateFile); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := f.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	for _, name := range slotNames {
		if _, err := dir.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("containerfile: container %s: %w", h.Serial, fs.ErrExist)
		}
	}
	bodies, _, err := f.sealBodies(c.Bodies, secrets, random)
	if err != nil {
		return nil, err
	}
	if err := f.put(dir, h.Number, binding, bodies, c, secrets.Loose, random); err != nil {
		return nil, err
	}
	return f, nil
}

// Open reads both slots of a container and takes the highest complete one. It
// writes nothing and needs no right to write. Locked by another process for
// longer than ctx or [LockWait] it gives [ErrLocked].
func Open(ctx context.Context, disk *durable.Disk, home, serial string) (*File, error) {
	f := &File{disk: disk, home: home, serial: serial}
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	lock := flock.New(f.path(lockName), flock.SetFlag(os.O_RDONLY|openNoFollow))
	ctx, cancel := context.WithTimeout(ctx, LockWait)
	defer cancel()
	switch _, err := lock.TryRLockContext(ctx, lockRetry); {
	case err == nil:
		defer lock.Unlock()
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, serial, err)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		// Slots are replaced whole, never changed: what is read without the lock
		// was the container's content at some moment.
	default:
		return nil, err
	}
	if err := f.load(dir); err != nil {
		return nil, err
	}
	return f, nil
}

// Header is what the current slot tells without being opened.
func (f *File) Header() Header { return f.current.header }

// Damaged are the slots that were refused when the container was opened, each a
// [*DamagedError]. The container works with the other slot.
func (f *File) Damaged() []error { return slices.Clone(f.damaged) }

// Match compares traits with the container's binding and opens nothing.
func (f *File) Match(traits []machine.Trait) machine.Match {
	_, match, _ := f.current.binding.Open(traits)
	return match
}

// Read opens the container with the machine's traits. Below the loose threshold
// it gives an [*OtherMachineError]; bodies whose tolerance is not reached come
// back Locked. The match is always filled. Read writes nothing.
func (f *File) Read(traits []machine.Trait) (Content, machine.Match, error) {
	content, _, match, err := f.open(traits)
	return content, match, err
}

func (f *File) open(traits []machine.Trait) (Content, machine.Secrets, machine.Match, error) {
	secrets, match, err := f.secrets(traits)
	if err != nil {
		return Content{}, secrets, match, err
	}
	content := Content{Counts: f.current.header.Format == FormatOfCounts, Moves: f.current.header.Format == FormatOfMoves}
	if content.State, err = f.current.openState(secrets.Loose); err != nil {
		return Content{}, secrets, match, f.damage(f.at, err)
	}
	for _, sealed := range f.current.bodies {
		body := Body{License: sealed.License, Tolerance: sealed.Tolerance, Reissue: sealed.reissue()}
		secret := reached(secrets, sealed.Tolerance)
		body.Locked = body.Reissue || secret == nil
		if !body.Locked {
			if body.Data, err = sealed.open(f.current.header, secret); err != nil {
				return Content{}, secrets, match, f.damage(f.at, err)
			}
		}
		content.Bodies = append(content.Bodies, body)
	}
	return content, secrets, match, nil
}

// Write puts new content into the slot that is not current; the old slot
// stays. h names the same container with the same or a higher Number.
//
// Locked bodies are carried over as they are. A new body whose tolerance this
// machine does not reach now cannot be sealed: it stays in the container as one
// that needs a reissue, and reissue names it.
//
// After a failed write the file refuses further ones with [ErrStale]: the disk
// holds the old content or the new, and only opening again tells which.
func (f *File) Write(ctx context.Context, h Header, c Content, traits []machine.Trait, random io.Reader) (reissue []string, err error) {
	old := f.current.header
	if h.Vendor != old.Vendor || h.Serial != old.Serial || h.Kind != old.Kind {
		return nil, fmt.Errorf("containerfile: %s of %s cannot be written as %s of %s", old.Serial, old.Vendor, h.Serial, h.Vendor)
	}
	if h.Number < old.Number {
		return nil, fmt.Errorf("containerfile: step %d is below the container's step %d", h.Number, old.Number)
	}
	err = f.exclusive(ctx, func(dir *os.Root) error {
		secrets, _, err := f.secrets(traits)
		if err != nil {
			return err
		}
		var bodies []sealedBody
		if bodies, reissue, err = f.sealBodies(c.Bodies, secrets, random); err != nil {
			return err
		}
		return f.put(dir, h.Number, f.current.binding, bodies, c, secrets.Loose, random)
	})
	return reissue, err
}

// Rebind binds the container to the traits that the machine has now, which
// must still reach loose (container repair, docs/decisions/0006). Bodies that traits
// do not open cannot be bound anew: they stay as ones that need a reissue, and
// reissue names all such. The match tells what differed before.
func (f *File) Rebind(ctx context.Context, traits []machine.Trait, random io.Reader) (reissue []string, match machine.Match, err error) {
	err = f.exclusive(ctx, func(dir *os.Root) error {
		var content Content
		if content, _, match, err = f.open(traits); err != nil {
			return err
		}
		binding, secrets, err := machine.Bind(traits, random)
		if err != nil {
			return err
		}
		for i := range content.Bodies {
			content.Bodies[i].Reissue = content.Bodies[i].Locked
		}
		var bodies []sealedBody
		if bodies, reissue, err = f.sealBodies(content.Bodies, secrets, random); err != nil {
			return err
		}
		return f.put(dir, f.current.header.Number, binding, bodies, content, secrets.Loose, random)
	})
	return reissue, match, err
}

// Scrub replaces the older slot by a copy of the current one, so that nothing
// of the older content is left. After a step that drops a license it comes
// before the receipt: a returned license must not be in the file any more.
func (f *File) Scrub(ctx context.Context) error {
	return f.exclusive(ctx, func(dir *os.Root) error {
		data, err := encode(f.current.header.Format, f.current.raw)
		if err != nil {
			return err
		}
		return f.writeOther(dir, data)
	})
}

// Settle makes what the container holds outlast a power cut. A program that died,
// or whose last fsync failed, may have left a new slot that does not yet.
func (f *File) Settle(ctx context.Context) error {
	return f.exclusive(ctx, f.disk.SyncDir)
}

// Lock takes the container for this process alone until [File.Unlock], and
// reads it again. Writes by this file then need no lock of their own. Locks do
// not nest, and another File of the same process has to wait as well.
func (f *File) Lock(ctx context.Context) error {
	if f.held != nil {
		return nil
	}
	if f.failed {
		return ErrStale
	}
	dir, err := f.folder()
	if err != nil {
		return err
	}
	defer dir.Close()
	lock, err := f.acquire(ctx)
	if err != nil {
		return err
	}
	if err := f.load(dir); err != nil {
		_ = lock.Unlock()
		return err
	}
	f.held = lock
	return nil
}

// Unlock gives back what [File.Lock] took.
func (f *File) Unlock() error {
	if f.held == nil {
		return nil
	}
	lock := f.held
	f.held = nil
	return lock.Unlock()
}

// Entry is one container of a home folder.
type Entry struct {
	Serial string
	Header Header
	// Err says why the container cannot be used; Header is empty then.
	Err error
}

// List gives the containers of home, by serial, without opening or locking
// them.
func List(home string) ([]Entry, error) {
	names, err := os.ReadDir(filepath.Join(home, containersDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		if !serialShape.MatchString(name.Name()) {
			continue
		}
		f := &File{home: home, serial: name.Name()}
		entry := Entry{Serial: name.Name()}
		dir, err := f.folder()
		if err == nil {
			err = f.load(dir)
			dir.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // a crash while it was made, or it was just deleted
		}
		entry.Header, entry.Err = f.current.header, err
		entries = append(entries, entry)
	}
	return entries, nil
}

// Delete removes a container and everything in it, whatever it holds. A File
// of this process that holds the lock must give it back first.
func Delete(ctx context.Context, disk *durable.Disk, home, serial string) error {
	f := &File{disk: disk, home: home, serial: serial}
	dir, err := f.folder()
	if err != nil {
		return err
	}
	dir.Close()
	lock, err := f.acquire(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	all, err := os.OpenRoot(filepath.Join(home, containersDir))
	if err != nil {
		return err
	}
	defer all.Close()
	// The rename is the moment of deletion; what a crash leaves after it, the
	// next deletion of this serial removes.
	gone := deletedPrefix + serial
	if err := disk.RemoveAll(all, gone); err != nil {
		return err
	}
	if err := disk.Rename(all, serial, gone); err != nil {
		return err
	}
	return disk.RemoveAll(all, gone)
}

// folder opens the container's folder, which must not be a symbolic link.
func (f *File) folder() (*os.Root, error) {
	if !serialShape.MatchString(f.serial) {
		return nil, fmt.Errorf("containerfile: %q is not a container's serial", f.serial)
	}
	all, err := os.OpenRoot(filepath.Join(f.home, containersDir))
	if err != nil {
		return nil, err
	}
	defer all.Close()
	info, err := all.Lstat(f.serial)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &DamagedError{Path: f.path(), Reason: durable.ErrNotRegular}
	}
	return all.OpenRoot(f.serial)
}

func (f *File) path(elements ...string) string {
	return filepath.Join(append([]string{f.home, containersDir, f.serial}, elements...)...)
}

// acquire takes the exclusive lock.
func (f *File) acquire(ctx context.Context) (*flock.Flock, error) {
	lock := flock.New(f.path(lockName), flock.SetFlag(os.O_RDONLY|os.O_CREATE|openNoFollow), flock.SetPermissions(durable.PrivateFile))
	ctx, cancel := context.WithTimeout(ctx, LockWait)
	defer cancel()
	switch _, err := lock.TryLockContext(ctx, lockRetry); {
	case err == nil:
		return lock, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, f.serial, err)
	default:
		return nil, err
	}
}

// exclusive runs write under the exclusive lock, after making sure that the
// disk holds what this file knows. An error makes the file stale.
func (f *File) exclusive(ctx context.Context, write func(dir *os.Root) error) error {
	if f.failed {
		return ErrStale
	}
	dir, err := f.folder()
	if err != nil {
		return err
	}
	defer dir.Close()
	if f.held == nil {
		lock, err := f.acquire(ctx)
		if err != nil {
			return err
		}
		defer lock.Unlock()
		known := f.current.header.Write
		if err := f.load(dir); err != nil {
			return err
		}
		if f.current.header.Write != known {
			f.failed = true
			return ErrStale
		}
	}
	if err := f.disk.RemoveTemps(dir); err != nil {
		return err
	}
	return write(dir)
}

// load reads both slots and makes the highest complete one current.
func (f *File) load(dir *os.Root) error {
	var found, missing int
	f.damaged = nil
	for i, name := range slotNames {
		data, err := durable.ReadFile(dir, name, SlotLimit)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		var read slot
		if err == nil {
			read, err = decode(data)
		}
		if err == nil && read.header.Serial != f.serial {
			err = fmt.Errorf("it belongs to container %s", read.header.Serial)
		}
		switch {
		case errors.Is(err, ErrNewerFormat):
			// The other slot is older; to use it would be to go back.
			return err
		case err != nil:
			f.damaged = append(f.damaged, f.damage(i, err))
		case found == 0 || read.header.Write > f.current.header.Write:
			f.current, f.at = read, i
			found++
		}
	}
	switch {
	case found > 0:
		return nil
	case missing == len(slotNames):
		return fmt.Errorf("containerfile: container %s: %w", f.serial, fs.ErrNotExist)
	default:
		return f.damaged[0]
	}
}

// put writes the next slot and makes it current.
func (f *File) put(dir *os.Root, number uint64, binding machine.Binding, bodies []sealedBody, c Content, loose []byte, random io.Reader) error {
	h := f.current.header
	h.Format, h.Number, h.Write = c.format(), number, h.Write+1
	next, err := seal(h, binding, bodies, c.State, loose, random)
	if err != nil {
		return err
	}
	data, err := encode(h.Format, next.raw)
	if err != nil {
		return err
	}
	if err := f.writeOther(dir, data); err != nil {
		return err
	}
	f.current, f.at = next, 1-f.at
	return nil
}

// writeOther writes the slot that is not current. A failure is final.
func (f *File) writeOther(dir *os.Root, data []byte) error {
	err := f.disk.WriteFile(dir, slotNames[1-f.at], data, durable.PrivateFile)
	f.failed = err != nil
	return err
}

// secrets opens the current binding with traits.
func (f *File) secrets(traits []machine.Trait) (machine.Secrets, machine.Match, error) {
	secrets, match, err := f.current.binding.Open(traits)
	if errors.Is(err, machine.ErrBelowLoose) {
		err = &OtherMachineError{Serial: f.serial, Match: match}
	}
	return secrets, match, err
}

// reached is the secret of a tolerance, nil if it is not reached.
func reached(secrets machine.Secrets, tolerance string) []byte {
	switch tolerance {
	case Loose:
		return secrets.Loose
	case Medium:
		return secrets.Medium
	default:
		return secrets.Tight
	}
}

// sealBodies seals bodies for the next slot and names those that need a
// reissue.
func (f *File) sealBodies(bodies []Body, secrets machine.Secrets, random io.Reader) (sealed []sealedBody, reissue []string, err error) {
	licenses := map[string]bool{}
	for _, body := range bodies {
		if next := (sealedBody{License: body.License, Tolerance: body.Tolerance}); !next.valid() || licenses[body.License] {
			return nil, nil, fmt.Errorf("containerfile: license %q with tolerance %q cannot be kept, or is there twice", body.License, body.Tolerance)
		}
		licenses[body.License] = true
		next, err := f.sealOne(body, secrets, random)
		if err != nil {
			return nil, nil, err
		}
		if next.reissue() {
			reissue = append(reissue, next.License)
		}
		sealed = append(sealed, next)
	}
	return sealed, reissue, nil
}

func (f *File) sealOne(body Body, secrets machine.Secrets, random io.Reader) (sealedBody, error) {
	secret := reached(secrets, body.Tolerance)
	switch {
	case body.Reissue || !body.Locked && secret == nil:
		return sealedBody{License: body.License, Tolerance: body.Tolerance}, nil
	case !body.Locked:
		return sealBody(f.current.header, body, secret, random)
	}
	for _, old := range f.current.bodies {
		if old.License == body.License && old.Tolerance == body.Tolerance {
			return old, nil
		}
	}
	return sealedBody{}, fmt.Errorf("containerfile: license %q is locked and not in the container", body.License)
}

// damage is the error of a damaged slot.
func (f *File) damage(at int, reason error) error {
	return &DamagedError{Path: f.path(slotNames[at]), Reason: reason}
}
