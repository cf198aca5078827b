package code

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"kiln/lambda"
)

// Source keeps packages; store.Store has it.
type Source interface {
	// OpenCode is NotFound "code.missing" when there is no such package.
	OpenCode(ctx context.Context, sha256 string) (io.ReadCloser, error)
}

// CacheOptions says where packages are unpacked.
type CacheOptions struct {
	Root   string // made when missing; every user of the machine reaches a tree whose name he knows
	Source Source
	Budget int64         // bytes of all trees together, past which unused ones go; 0 means 10 GiB
	Keep   time.Duration // a tree stays at least so long after it was last asked for; 0 means one minute
	// InUse answers the packages that workers have mounted: they stay whatever the budget. nil means none.
	InUse    func() map[string]bool
	Compiler *Compiler // nil leaves TypeScript alone
	Log      *slog.Logger
}

// Cache holds one read-only folder per package, Root/<sha256>, and forgets the least recently used. It is safe for concurrent use.
type Cache struct {
	o       CacheOptions
	mu      sync.Mutex
	trees   map[string]*tree
	total   int64
	closing bool
	full    bool // over the budget with everything in use; said once
}

// tree is one folder; done is closed when it is there or err is set.
type tree struct {
	done chan struct{}
	err  error
	size int64
	used time.Time
}

var shaPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// cleanMark lists the trees of a cache that was closed. Without it the machine may have lost power in the middle of writing one.
const cleanMark = ".clean"

// NewCache opens the folder. Trees of a cache that was not closed are removed and unpacked again when they are needed.
func NewCache(o CacheOptions) (*Cache, error) {
	if o.Budget == 0 {
		o.Budget = 10 << 30
	}
	if o.Keep == 0 {
		o.Keep = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := &Cache{o: o, trees: map[string]*tree{}}
	if err := os.MkdirAll(o.Root, 0o711); err != nil {
		return nil, fmt.Errorf("making the code folder: %w", err)
	}
	// Workers reach the tree that they are given; nobody else on the machine may list them.
	if err := os.Chmod(o.Root, 0o711); err != nil {
		return nil, fmt.Errorf("opening the code folder to workers: %w", err)
	}
	return c, c.adopt()
}

// adopt takes over what an earlier cache left whole, and removes the rest.
func (c *Cache) adopt() error {
	sizes := map[string]int64{}
	mark := filepath.Join(c.o.Root, cleanMark)
	if b, err := os.ReadFile(mark); err == nil && json.Unmarshal(b, &sizes) != nil {
		clear(sizes)
	}
	if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("adopting the code folder: %w", err)
	}
	names, err := os.ReadDir(c.o.Root)
	if err != nil {
		return fmt.Errorf("reading the code folder: %w", err)
	}
	for _, n := range names {
		size, whole := sizes[n.Name()]
		if !whole || !shaPattern.MatchString(n.Name()) {
			if err := os.RemoveAll(filepath.Join(c.o.Root, n.Name())); err != nil {
				return fmt.Errorf("clearing the code folder: %w", err)
			}
			continue
		}
		t := &tree{done: make(chan struct{}), size: size}
		close(t.done)
		c.trees[n.Name()] = t
		c.total += size
	}
	return nil
}

// Close notes which trees are whole, after the last Tree.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	sizes := map[string]int64{}
	for sha, t := range c.trees {
		if t.whole() {
			sizes[sha] = t.size
		}
	}
	b, err := json.Marshal(sizes)
	if err != nil {
		return err
	}
	if err := syncFolder(c.o.Root); err != nil {
		return fmt.Errorf("flushing the code folder: %w", err)
	}
	return os.WriteFile(filepath.Join(c.o.Root, cleanMark), b, 0o644)
}

func (t *tree) whole() bool {
	select {
	case <-t.done:
		return t.err == nil
	default:
		return false
	}
}

// Path is the folder of a package, whether it is there or not.
func (c *Cache) Path(sha256 string) string { return filepath.Join(c.o.Root, sha256) }

// Tree returns when the package is unpacked under Path. Concurrent calls for one package share the work; a caller that gives up does not end it for the others.
func (c *Cache) Tree(ctx context.Context, sha256 string) error {
	if !shaPattern.MatchString(sha256) {
		return lambda.E(lambda.Invalid, "code.sha", "value", sha256[:min(len(sha256), 80)])
	}
	t, mine := c.join(sha256)
	if t == nil {
		return lambda.E(lambda.Unavailable, "code.closed")
	}
	if mine {
		go c.fill(context.WithoutCancel(ctx), sha256, t)
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join answers the tree and whether the caller has to fill it; nil when the cache is closed.
func (c *Cache) join(sha256 string) (t *tree, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, false
	}
	t = c.trees[sha256]
	if t == nil {
		t, mine = &tree{done: make(chan struct{})}, true
		c.trees[sha256] = t
	}
	t.used = time.Now()
	return t, mine
}

// unpackLimit ends an unpacking that hangs, for example on a database that does not answer.
const unpackLimit = 2 * time.Minute

func (c *Cache) fill(ctx context.Context, sha256 string, t *tree) {
	ctx, cancel := context.WithTimeout(ctx, unpackLimit)
	defer cancel()
	size, err := c.unpack(ctx, sha256)
	c.mu.Lock()
	if err != nil {
		t.err = err
		delete(c.trees, sha256)
	} else {
		t.size, t.used = size, time.Now()
		c.total += size
	}
	victims := c.victims()
	c.mu.Unlock()
	close(t.done)
	c.remove(victims)
}

// unpack makes the folder in a place of its own and moves it in when it is complete.
func (c *Cache) unpack(ctx context.Context, sha256 string) (int64, error) {
	work, err := os.MkdirTemp(c.o.Root, ".work-")
	if err != nil {
		return 0, fmt.Errorf("making a folder for package %s: %w", sha256, err)
	}
	defer os.RemoveAll(work)
	packed, size, err := c.fetch(ctx, sha256, work)
	if err != nil {
		return 0, err
	}
	defer packed.Close()
	a, err := open(packed, size)
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(work, "tree")
	unpacked, err := a.extract(dir)
	if err != nil {
		return 0, err
	}
	if c.o.Compiler != nil {
		if err := c.o.Compiler.addScripts(ctx, a, dir); err != nil {
			return 0, err
		}
	}
	if err := os.Rename(dir, c.Path(sha256)); err != nil {
		return 0, fmt.Errorf("moving package %s in: %w", sha256, err)
	}
	return unpacked, nil
}

// fetch copies the package to a file and checks that it is the one that was asked for.
func (c *Cache) fetch(ctx context.Context, want, dir string) (*os.File, int64, error) {
	r, err := c.o.Source.OpenCode(ctx, want)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	f, err := os.OpenFile(filepath.Join(dir, "package.zip"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("fetching package %s: %w", want, err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, lambda.MaxZip+1))
	if err == nil && hex.EncodeToString(h.Sum(nil)) != want {
		err = errors.New("its bytes have another SHA-256")
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("fetching package %s: %w", want, err)
	}
	return f, n, nil
}

// victims takes the least recently used trees out of the books until the rest fits the budget. It needs c.mu.
func (c *Cache) victims() []string {
	if c.total <= c.o.Budget {
		c.full = false
		return nil
	}
	var inUse map[string]bool
	if c.o.InUse != nil {
		inUse = c.o.InUse()
	}
	var out []string
	for c.total > c.o.Budget {
		sha := c.oldest(inUse)
		if sha == "" {
			if !c.full {
				c.o.Log.Warn("unpacked code is over its budget and all of it is in use", "bytes", c.total, "budget", c.o.Budget)
			}
			c.full = true
			break
		}
		// The folder leaves its name under the lock, so that a new Tree cannot meet a half-removed one.
		gone := filepath.Join(c.o.Root, ".gone-"+sha)
		if err := os.Rename(c.Path(sha), gone); err != nil {
			c.o.Log.Error("evicting unpacked code", "sha256", sha, "err", err)
			break
		}
		c.total -= c.trees[sha].size
		delete(c.trees, sha)
		out = append(out, gone)
	}
	return out
}

func (c *Cache) oldest(inUse map[string]bool) string {
	var found string
	limit := time.Now().Add(-c.o.Keep)
	for sha, t := range c.trees {
		if inUse[sha] || !t.whole() || t.used.After(limit) {
			continue
		}
		if found == "" || t.used.Before(c.trees[found].used) {
			found = sha
		}
	}
	return found
}

func (c *Cache) remove(folders []string) {
	for _, dir := range folders {
		if err := os.RemoveAll(dir); err != nil {
			c.o.Log.Error("removing unpacked code", "folder", strings.TrimPrefix(dir, c.o.Root), "err", err)
		}
	}
}
