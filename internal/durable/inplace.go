package durable

import (
	"fmt"
	"io/fs"
	"os"
)

// The operations on a file that is written in place.
const (
	OpGrow Op = "grow"
	OpSync Op = "sync" // of data alone
)

// zeroChunk is how much of a file is laid out at once.
const zeroChunk = 1 << 20

// InPlace is a file that is written at places of its own, such as a log. It is laid
// out before it is needed, with zeros, so that a sync later changes nothing but
// data. It is not safe for concurrent use.
type InPlace struct {
	disk *Disk
	file *os.File
	name string
	size int64
}

// OpenInPlace opens a plain file that exists for reading and writing in place.
func (d *Disk) OpenInPlace(dir *os.Root, name string) (*InPlace, error) {
	named, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	file, err := dir.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &InPlace{disk: d, file: file, name: name, size: info.Size()}, nil
}

// Size is how much of the file is laid out.
func (f *InPlace) Size() int64 { return f.size }

// ReadAll reads the whole file, at most limit bytes.
func (f *InPlace) ReadAll(limit int64) ([]byte, error) {
	if f.size > limit {
		return nil, &fs.PathError{Op: "read", Path: f.name, Err: ErrTooLarge}
	}
	data := make([]byte, f.size)
	if _, err := f.file.ReadAt(data, 0); err != nil {
		return nil, fmt.Errorf("durable: read %s: %w", f.name, err)
	}
	return data, nil
}

// Grow lays the file out up to size and makes that last. Where it fails, nothing
// that was written before is changed.
func (f *InPlace) Grow(size int64) error {
	if size <= f.size {
		return nil
	}
	if err := f.disk.fault(OpGrow, f.name); err != nil {
		return err
	}
	zeros := make([]byte, min(size-f.size, zeroChunk))
	for at := f.size; at < size; {
		n, err := f.file.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	// The length is new: a sync of data alone would do on most systems, not on all.
	if err := f.disk.fault(OpFsync, f.name); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.size = size
	return nil
}

// WriteAt writes data at a place that is laid out.
func (f *InPlace) WriteAt(data []byte, at int64) error {
	if err := f.disk.fault(OpWrite, f.name); err != nil {
		_, _ = f.file.WriteAt(data[:len(data)/2], at)
		return err
	}
	_, err := f.file.WriteAt(data, at)
	return err
}

// Sync makes what was written last. A failure is final: what the disk holds then is
// not known, and trying again would only hide that.
func (f *InPlace) Sync() error {
	if err := f.disk.fault(OpSync, f.name); err != nil {
		return err
	}
	return syncData(f.file)
}

// Close closes the file.
func (f *InPlace) Close() error { return f.file.Close() }
