//go:build !linux

package durable

import "os"

// syncData makes a file's data last.
func syncData(file *os.File) error { return file.Sync() }
