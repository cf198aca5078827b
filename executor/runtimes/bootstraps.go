package runtimes

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed bootstraps
var embedded embed.FS

// WriteBootstraps puts Kiln's bootstraps under dir (node/bootstrap.js, python/bootstrap.py), readable by everybody, and leaves files that are
// right already alone. Drivers bind dir read-only at /var/runtime. Each file appears whole or not at all.
func WriteBootstraps(dir string) error {
	root, err := fs.Sub(embedded, "bootstraps")
	if err != nil {
		return fmt.Errorf("open the embedded bootstraps: %w", err)
	}
	return fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read the embedded bootstraps: %w", err)
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return makeDir(to)
		}
		want, err := fs.ReadFile(root, path)
		if err != nil {
			return fmt.Errorf("read the embedded %s: %w", path, err)
		}
		if have, err := os.ReadFile(to); err == nil && bytes.Equal(have, want) {
			return nil
		}
		return writeWhole(to, want)
	})
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the bootstraps' folder: %w", err)
	}
	// A strict umask must not hide the bootstraps from the sandbox's user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("open the bootstraps' folder to readers: %w", err)
	}
	return nil
}

func writeWhole(to string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return fmt.Errorf("write a bootstrap: %w", err)
	}
	defer os.Remove(f.Name()) // fails when it was renamed, as it should be
	defer f.Close()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return fmt.Errorf("write a bootstrap: %w", err)
	}
	return nil
}
