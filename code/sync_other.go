//go:build !linux

package code

import "os"

func syncFileSystem(f *os.File) error { return f.Sync() }
