//go:build !linux

package bare

import "os"

func syncData(f *os.File) error { return f.Sync() }
