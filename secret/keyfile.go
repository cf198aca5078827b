package secret

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadOrCreate reads the key file at path, or makes one with a new key (mode 0600) when there is none; created says so.
// The file holds one key in hex per line, the current one first; lines that begin with # are left out.
func LoadOrCreate(path string) (ring *Ring, created bool, err error) {
	ring, err = Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, false, err
	}
	if err := create(path, NewKey()); err != nil {
		return nil, false, err
	}
	ring, err = Load(path)
	return ring, true, err
}

// NewKey makes a random master key.
func NewKey() []byte {
	k := make([]byte, KeySize)
	_, _ = rand.Read(k) // never fails: crypto/rand ends the process instead
	return k
}

// Load reads the key file at path; the error wraps fs.ErrNotExist when there is none. A file that others may read is refused.
func Load(path string) (*Ring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key file %s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	keys, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("master key file %s: %w", path, err)
	}
	return NewRing(keys[0], keys[1:]...)
}

func parse(b []byte) (keys [][]byte, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := hex.DecodeString(line)
		if err != nil || len(k) != KeySize {
			return nil, fmt.Errorf("line %d is not %d hexadecimal digits", n, 2*KeySize)
		}
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key")
	}
	return keys, nil
}

// AddKey writes a new current key in front of the file's keys and answers the ring with all of them, for a rotation.
func AddKey(path string) (*Ring, error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	if _, err := parse(old); err != nil {
		return nil, fmt.Errorf("master key file %s: %w", path, err)
	}
	if err := write(path, append(line(NewKey()), old...)); err != nil {
		return nil, err
	}
	return Load(path)
}

// DropOldKeys leaves only the current key in the file, after everything has been sealed anew.
func DropOldKeys(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("master key file: %w", err)
	}
	keys, err := parse(b)
	if err != nil {
		return fmt.Errorf("master key file %s: %w", path, err)
	}
	return write(path, line(keys[0]))
}

func line(key []byte) []byte { return []byte(hex.EncodeToString(key) + "\n") }

// create never replaces a file: two servers that start at once must end with one key.
func create(path string, key []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("folder of the master key file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the master key file: %w", err)
	}
	return finish(f, line(key))
}

func write(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the master key file: %w", err)
	}
	if err := finish(f, b); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the master key file: %w", err)
	}
	return nil
}

func finish(f *os.File, b []byte) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("write the master key file: %w", err)
	}
	return nil
}
