// Package durable writes files that survive a power cut: after any crash a
// name holds the old bytes or the new bytes, never a part of either
// (docs/protocol.md R6).
//
// The system calls of one [Disk.WriteFile], in order:
//
//	openat(dir, ".NAME.RANDOM.tmp", O_RDWR|O_CREAT|O_EXCL)
//	write
//	fsync(file)
//	close
//	renameat(".NAME.RANDOM.tmp" → "NAME")
//	fsync(dir)
//
// A failed fsync is an error and is never retried: after it, what the disk
// holds is unknown until the file is read again.
//
// No function follows a symbolic link in its last path element.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Op names one operation on the disk, as [Disk.Fault] sees it.
type Op string

// The operations that change a disk or make a change last.
const (
	OpMkdir    Op = "mkdir"
	OpOpen     Op = "open" // creates the temporary file
	OpWrite    Op = "write"
	OpFsync    Op = "fsync"
	OpRename   Op = "rename"
	OpLink     Op = "link"
	OpRemove   Op = "remove"
	OpFsyncDir Op = "fsyncdir"
)

const (
	tempPrefix = "."
	tempSuffix = ".tmp"

	// PrivateFile and PrivateDir are the modes of what only its owner may read.
	PrivateFile fs.FileMode = 0o600
	PrivateDir  fs.FileMode = 0o700
)

// ErrTooLarge says that a file is larger than its reader allows.
var ErrTooLarge = errors.New("durable: file is too large")

// ErrNotRegular says that a name is a symbolic link, a folder or a device
// where a plain file is expected.
var ErrNotRegular = errors.New("durable: not a regular file")

// ErrUnsure says that the new data is under its name, and may not be there any
// more after a power cut.
var ErrUnsure = errors.New("durable: written, but it may not outlast a power cut")

// Disk is where files are written. The zero value, and a nil *Disk, is the
// real disk.
type Disk struct {
	// Fault, if set, is called before each operation with its name and the
	// path element it works on. An error makes the operation fail with that
	// error, as a full or broken disk would; a failed write leaves half of its
	// data behind. Only tests set it.
	Fault func(op Op, name string) error
}

func (d *Disk) fault(op Op, name string) error {
	if d == nil || d.Fault == nil {
		return nil
	}
	if err := d.Fault(op, name); err != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	return nil
}

// WriteFile puts data under name in the folder dir, replacing what was there.
// If it fails before the rename, name is untouched and the temporary file is
// removed; if only the last fsync fails, name holds the new data but may not
// after a power cut, and the error is [ErrUnsure]. name is a single path element.
// A symbolic link under name is replaced, not followed.
func (d *Disk) WriteFile(dir *os.Root, name string, data []byte, perm fs.FileMode) error {
	temp, err := d.writeTemp(dir, name, perm, d.data(name, data))
	if err != nil {
		return err
	}
	if err := d.rename(dir, temp, name); err != nil {
		if errors.Is(d.unlink(dir, temp), fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrUnsure, err) // it was renamed all the same
		}
		return err
	}
	if err := d.syncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return nil
}

// SyncDir makes what was renamed, made or removed in dir last, also by a program
// that died before it could.
func (d *Disk) SyncDir(dir *os.Root) error { return d.syncDir(dir) }

// CreateFile is [Disk.WriteFile] for a name that must not exist yet: of several
// processes that try at the same time one wins, the others get [fs.ErrExist].
func (d *Disk) CreateFile(dir *os.Root, name string, data []byte, perm fs.FileMode) error {
	return d.Create(dir, name, perm, d.data(name, data))
}

// Create is [Disk.CreateFile] for what is written bit by bit, and may be read again
// before the file gets its name.
func (d *Disk) Create(dir *os.Root, name string, perm fs.FileMode, write func(*os.File) error) error {
	temp, err := d.writeTemp(dir, name, perm, write)
	if err != nil {
		return err
	}
	err = d.fault(OpLink, name)
	if err == nil {
		err = dir.Link(temp, name)
	}
	if removeErr := d.unlink(dir, temp); err == nil {
		err = removeErr
	}
	if err != nil {
		return err
	}
	return d.syncDir(dir)
}

// WritePath is [Disk.WriteFile] for a path; its folder must exist.
func (d *Disk) WritePath(path string, data []byte, perm fs.FileMode) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return d.WriteFile(dir, filepath.Base(path), data, perm)
}

// Remove deletes name from dir so that it stays deleted.
func (d *Disk) Remove(dir *os.Root, name string) error {
	if err := d.unlink(dir, name); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// Rename moves a file or folder within dir so that it stays moved.
func (d *Disk) Rename(dir *os.Root, from, to string) error {
	if err := d.rename(dir, from, to); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// Mkdir makes the folder name in dir so that it stays made. A folder that
// exists gives [fs.ErrExist].
func (d *Disk) Mkdir(dir *os.Root, name string, perm fs.FileMode) error {
	if err := d.fault(OpMkdir, name); err != nil {
		return err
	}
	if err := dir.Mkdir(name, perm); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// MkdirAll makes path and the folders above it that are missing, each with
// perm, so that they stay made. A path that exists must be a folder.
func (d *Disk) MkdirAll(path string, perm fs.FileMode) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return nil
	}
	switch info, err := os.Stat(path); {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: string(OpMkdir), Path: path, Err: errors.New("not a folder")}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.MkdirAll(parent, perm); err != nil {
		return err
	}
	dir, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := d.Mkdir(dir, filepath.Base(path), perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// ReadFile reads a plain file of at most limit bytes. The size is checked
// before anything is read. A name that is a symbolic link or not a plain file
// gives [ErrNotRegular], a larger file [ErrTooLarge].
func ReadFile(dir *os.Root, name string, limit int64) ([]byte, error) {
	named, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrNotRegular}
	}
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrNotRegular}
	}
	if info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// RemoveAll deletes the folder name in dir and everything in it.
func (d *Disk) RemoveAll(dir *os.Root, name string) error {
	if err := d.fault(OpRemove, name); err != nil {
		return err
	}
	if err := dir.RemoveAll(name); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// RemoveTemps removes temporary files that a crash left in dir. The caller
// makes sure that nobody is writing there.
func (d *Disk) RemoveTemps(dir *os.Root) error {
	folder, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := folder.Readdirnames(-1)
	folder.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) {
			if err := d.unlink(dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeTemp writes a new temporary file for name, fsyncs it and returns the file's
// own name. On failure nothing is left behind.
func (d *Disk) writeTemp(dir *os.Root, name string, perm fs.FileMode, write func(*os.File) error) (string, error) {
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return "", fmt.Errorf("durable: %q is not a single file name", name)
	}
	temp := tempPrefix + name + "." + rand.Text() + tempSuffix
	if err := d.fault(OpOpen, name); err != nil {
		return "", err
	}
	file, err := dir.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return "", err
	}
	if err = write(file); err == nil {
		if err = d.fault(OpFsync, name); err == nil {
			err = file.Sync()
		}
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = d.unlink(dir, temp)
		return "", err
	}
	return temp, nil
}

// data writes data to a file whose final name is name.
func (d *Disk) data(name string, data []byte) func(*os.File) error {
	return func(file *os.File) error {
		if err := d.fault(OpWrite, name); err != nil {
			_, _ = file.Write(data[:len(data)/2])
			return err
		}
		_, err := file.Write(data)
		return err
	}
}

func (d *Disk) rename(dir *os.Root, from, to string) error {
	if err := d.fault(OpRename, to); err != nil {
		return err
	}
	return dir.Rename(from, to)
}

func (d *Disk) unlink(dir *os.Root, name string) error {
	if err := d.fault(OpRemove, name); err != nil {
		return err
	}
	return dir.Remove(name)
}

// syncDir makes the names in dir last. Windows keeps names in its journal and
// cannot fsync a folder.
func (d *Disk) syncDir(dir *os.Root) error {
	if err := d.fault(OpFsyncDir, filepath.Base(dir.Name())); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := dir.Open(".")
	if err != nil {
		return err
	}
	if err := folder.Sync(); err != nil {
		folder.Close()
		return err
	}
	return folder.Close()
}
