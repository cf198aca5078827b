// Package storetest gives a test a migrated database of its own on a real PostgreSQL. One private PostgreSQL serves a test process;
// its folder is kept below the temporary folder and used again by later runs, and it ends with the process.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kiln/migrations"
	"kiln/store"
	"kiln/store/postgres"

	"github.com/jackc/pgx/v5"
)

// Region and AccountID are those of every store made here.
const (
	Region    = "us-east-1"
	AccountID = "000000000000"
)

// Key is the master key of every store made here.
var Key = []byte("a master key for tests, 32 bytes")

// New is a store on a database of its own; both are gone when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, Database(t))
}

// Open opens a store on url and closes it when the test ends.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), Options(url))
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Options are the options of every store made here.
func Options(url string) store.Options {
	return store.Options{URL: url, MasterKey: Key, Region: Region, AccountID: AccountID}
}

var (
	once    sync.Once
	server  *postgres.Server
	failure error
	count   atomic.Int64
	day     = time.Now().UTC().Format(time.DateOnly)
	slots   []*os.File // their locks are held until the process ends
)

// Server is this process's PostgreSQL.
func Server(t testing.TB) *postgres.Server {
	t.Helper()
	once.Do(start)
	if failure != nil {
		t.Fatalf("PostgreSQL for tests: %v", failure)
	}
	return server
}

// Database clones the migrated template and answers the clone's address; it is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	s := Server(t)
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), count.Add(1))
	admin(t, s, "CREATE DATABASE "+name+" TEMPLATE "+templateName())
	t.Cleanup(func() { admin(t, s, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return addressOf(s, name)
}

// EmptyDatabase is like Database without a single migration.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	s := Server(t)
	name := fmt.Sprintf("e_%d_%d", os.Getpid(), count.Add(1))
	admin(t, s, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, s, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return addressOf(s, name)
}

func addressOf(s *postgres.Server, name string) string {
	return strings.Replace(s.URL(), "/kiln?", "/"+name+"?", 1)
}

// admin retries: a test may have killed the server a moment ago.
func admin(t testing.TB, s *postgres.Server, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := execute(ctx, s.URL(), sql)
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "connect") {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func execute(ctx context.Context, url, sql string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	_, err = c.Exec(ctx, sql)
	return err
}

// start takes the first free slot: test processes that run at once use one folder each, later ones find it ready.
func start() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var dir string
	if dir, failure = takeSlot(); failure != nil {
		return
	}
	server, failure = postgres.Start(ctx, postgres.Options{Dir: dir, Settings: []string{"fsync=off", "full_page_writes=off", "max_connections=200"}})
	if failure == nil {
		failure = prepare(ctx, server)
	}
}

func takeSlot() (string, error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("kiln-storetest-%d", os.Getuid()))
	if err := os.MkdirAll(root, 0o711); err != nil {
		return "", err
	}
	info, err := os.Lstat(root)
	if err != nil {
		return "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s belongs to somebody else", root)
	}
	for n := range 64 {
		f, err := os.OpenFile(filepath.Join(root, fmt.Sprintf("slot-%d.lock", n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return "", err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			slots = append(slots, f)
			return filepath.Join(root, fmt.Sprintf("slot-%d", n)), nil
		}
		_ = f.Close()
	}
	return "", fmt.Errorf("all slots in %s are taken", root)
}

// prepare drops what earlier runs left behind and makes the template when the migrations changed.
func prepare(ctx context.Context, s *postgres.Server) error {
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	rows, err := c.Query(ctx, "SELECT datname FROM pg_database WHERE datname ~ '^(t|e|template)_'")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	template := templateName()
	for _, name := range names {
		if name == template {
			return nil
		}
	}
	return makeTemplate(ctx, c, s, names, template)
}

func makeTemplate(ctx context.Context, c *pgx.Conn, s *postgres.Server, old []string, template string) error {
	for _, name := range append(old, "making") {
		if _, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	if _, err := c.Exec(ctx, "CREATE DATABASE making"); err != nil {
		return err
	}
	opened, err := store.Open(ctx, Options(addressOf(s, "making"))) // migrates, and makes today's partitions
	if err != nil {
		return err
	}
	opened.Close()
	_, err = c.Exec(ctx, "ALTER DATABASE making RENAME TO "+template)
	return err
}

// templateName changes with every change of a migration, and every day: the template has partitions.
func templateName() string {
	h := sha256.New()
	_, _ = h.Write([]byte(day))                     // a hash never fails
	names, _ := fs.Glob(migrations.Files, "0*.sql") // only a malformed pattern is an error
	for _, name := range names {
		b, _ := fs.ReadFile(migrations.Files, name) // embedded: it is there
		_, _ = h.Write(b)
	}
	return "template_" + hex.EncodeToString(h.Sum(nil)[:8])
}
