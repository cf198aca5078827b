package runtimes

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"kiln/lambda"
)

// DefaultRegistry is the public npm registry.
const DefaultRegistry = "https://registry.npmjs.org"

// pin is one whole Node.js that Kiln installs: npm's node-linux-* package of this version, and the SHA-512 of its archive (base64).
type pin struct {
	version string
	amd64   string
	arm64   string
}

var pins = map[string]pin{
	"nodejs20.x": {"20.20.2",
		"PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==",
		"LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg=="},
	"nodejs22.x": {"22.23.3",
		"qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
		"l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA=="},
	"nodejs24.x": {"24.21.0",
		"3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
		"FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g=="},
}

// mark is a file in every runtime folder that Kiln installed; it holds the version.
const mark = ".kiln-runtime"

const (
	maxArchive  = 200 << 20 // bytes of a package
	maxUnpacked = 500 << 20 // bytes of what is taken out of it
	installTime = 15 * time.Minute
)

// Installable are the names that Install knows, newest first.
func Installable() []string {
	names := make([]string, 0, len(pins))
	for name := range pins {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// Progress is told how far an installation is, in bytes; total is −1 when the registry does not say.
type Progress func(done, total int64)

// Install downloads a runtime into the data folder: whole, checked against the hash that is compiled in, and at once, or not at all.
// registry is the base URL of an npm registry, "" for the public one. A runtime of this name that is installed already is replaced;
// workers that run on it keep their files.
// Errors: NotFound "runtime.notInstallable" for other names or processors, Unavailable "runtime.download", "runtime.integrity" and
// "runtime.broken" (it is in place, but does not run on this machine).
func (s *Set) Install(ctx context.Context, name, registry string, progress Progress) (Runtime, error) {
	p, hash, arch := pinOf(name, runtime.GOARCH)
	if hash == "" {
		return Runtime{}, lambda.E(lambda.NotFound, "runtime.notInstallable", "runtime", name)
	}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	root := Installed(s.dataDir)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return Runtime{}, fmt.Errorf("make the runtimes' folder: %w", err)
	}
	work, err := os.MkdirTemp(root, ".installing-*")
	if err != nil {
		return Runtime{}, fmt.Errorf("make a folder to install in: %w", err)
	}
	defer os.RemoveAll(work)
	url := packageURL(registry, "node-linux-"+arch, p.version)
	archive := filepath.Join(work, "package.tgz")
	if err := download(ctx, url, archive, hash, progress); err != nil {
		return Runtime{}, err
	}
	fresh := filepath.Join(work, "runtime")
	if err := unpackNode(archive, fresh, p.version); err != nil {
		return Runtime{}, fmt.Errorf("unpack %s: %w", name, err)
	}
	if err := replaceDir(fresh, filepath.Join(root, name), filepath.Join(work, "old")); err != nil {
		return Runtime{}, fmt.Errorf("put %s in its place: %w", name, err)
	}
	s.Refresh(ctx)
	r, substitute, err := s.Resolve(name)
	if err != nil || substitute {
		return Runtime{}, lambda.E(lambda.Unavailable, "runtime.broken", "runtime", name)
	}
	return r, nil
}

func pinOf(name, goarch string) (p pin, hash, arch string) {
	p = pins[name]
	switch goarch {
	case "amd64":
		return p, p.amd64, "x64"
	case "arm64":
		return p, p.arm64, "arm64"
	}
	return p, "", ""
}

func packageURL(registry, pkg, version string) string {
	if registry == "" {
		registry = DefaultRegistry
	}
	return strings.TrimSuffix(registry, "/") + "/" + pkg + "/-/" + pkg + "-" + version + ".tgz"
}

// download writes url to path; nothing is read of the archive before its hash is right.
func download(ctx context.Context, url, path, hash string, progress Progress) error {
	failed := func(err error) error { return lambda.E(lambda.Unavailable, "runtime.download").Because(err) }
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return failed(err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return failed(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return failed(fmt.Errorf("the registry answered %s", a.Status))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	defer f.Close()
	sum := sha512.New()
	n, err := io.Copy(io.MultiWriter(f, sum, &counter{total: a.ContentLength, tell: progress}), io.LimitReader(a.Body, maxArchive+1))
	if err != nil {
		return failed(err)
	}
	want, err := base64.StdEncoding.DecodeString(hash)
	if err != nil || n > maxArchive || subtle.ConstantTimeCompare(sum.Sum(nil), want) != 1 {
		return lambda.E(lambda.Unavailable, "runtime.integrity").Because(fmt.Errorf("%d bytes with another hash (%w)", n, err))
	}
	return f.Close()
}

// counter tells progress, at most every 100 ms and at the end.
type counter struct {
	done, total int64
	tell        Progress
	told        time.Time
}

func (c *counter) Write(b []byte) (int, error) {
	c.done += int64(len(b))
	if c.tell != nil && (time.Since(c.told) > 100*time.Millisecond || c.done == c.total) {
		c.told = time.Now()
		c.tell(c.done, c.total)
	}
	return len(b), nil
}

// wanted is what a runtime needs of its package: the binary and its licence.
var wanted = map[string]os.FileMode{"package/bin/node": 0o755, "package/LICENSE": 0o644}

func unpackNode(archive, to, version string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	found := false
	for t, left := tar.NewReader(z), int64(maxUnpacked); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		mode, take := wanted[h.Name]
		if !take || h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; left < 0 {
			return errors.New("the archive is too large")
		}
		if err := writeFile(filepath.Join(to, strings.TrimPrefix(h.Name, "package/")), t, mode); err != nil {
			return err
		}
		found = found || h.Name == "package/bin/node"
	}
	if !found {
		return errors.New("the archive holds no node")
	}
	return writeFile(filepath.Join(to, mark), strings.NewReader(version+"\n"), 0o644)
}

func writeFile(to string, from io.Reader, mode os.FileMode) error {
	if err := makeDir(filepath.Dir(to)); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Sync(), f.Close())
}

// replaceDir moves fresh to its place; what was there goes aside first and comes back when that fails.
func replaceDir(fresh, place, aside string) error {
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	had := os.Rename(place, aside) == nil
	if err := os.Rename(fresh, place); err != nil {
		if had {
			return errors.Join(err, os.Rename(aside, place))
		}
		return err
	}
	return nil
}
