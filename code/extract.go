package code

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"kiln/lambda"
)

// extract unpacks everything into the new folder dir and answers the bytes on disk. Every file is opened below dir by the kernel's rules,
// so that even a mistake in the checks could not write elsewhere.
func (a *archive) extract(dir string) (int64, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, fmt.Errorf("unpacking: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, fmt.Errorf("unpacking: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("unpacking: %w", err)
	}
	defer root.Close()
	x := extraction{root: root, made: map[string]bool{".": true}, left: lambda.MaxUnzipped}
	for _, e := range a.entries {
		if err := x.put(e); err != nil {
			return 0, err
		}
	}
	return lambda.MaxUnzipped - x.left + int64(len(a.entries))*4096, nil
}

type extraction struct {
	root *os.Root
	made map[string]bool // folders
	left int64
}

func (x *extraction) put(e *entry) error {
	dir := path.Dir(e.path)
	if e.mode.IsDir() {
		dir = e.path
	}
	if err := x.folder(dir); err != nil {
		return err
	}
	switch {
	case e.mode.IsDir():
		return nil
	case e.mode.Type() == fs.ModeSymlink:
		if err := x.root.Symlink(e.link, e.path); err != nil {
			return fmt.Errorf("unpacking a link: %w", err)
		}
		return nil
	default:
		return x.file(e)
	}
}

func (x *extraction) folder(dir string) error {
	if x.made[dir] {
		return nil
	}
	if err := x.folder(path.Dir(dir)); err != nil {
		return err
	}
	if err := x.root.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking a folder: %w", err)
	}
	if err := x.root.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking a folder: %w", err)
	}
	x.made[dir] = true
	return nil
}

func (x *extraction) file(e *entry) error {
	f, err := x.root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.mode.Perm())
	if err != nil {
		return fmt.Errorf("unpacking a file: %w", err)
	}
	if err := e.copyTo(f, &x.left); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Chmod(e.mode.Perm()); err != nil {
		_ = f.Close()
		return fmt.Errorf("unpacking a file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("unpacking a file: %w", err)
	}
	// One time for all files: runtimes that compare times (Python's caches) see the same tree wherever it is unpacked.
	return x.root.Chtimes(e.path, time.Time{}, packTime)
}

// packTime is the time of every unpacked file: the first that a zip can name.
var packTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// syncFolder makes what was written below dir survive a loss of power.
func syncFolder(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	return syncFileSystem(f)
}
