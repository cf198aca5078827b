package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kiln/store/postgres"
)

func adminCommand(ctx context.Context, args []string) error {
	const synopsis = "admin backup FILE | admin restore FILE | admin accept-rung B|C"
	c, rest, err := settingsOf("admin", synopsis, args, 2)
	if err != nil {
		return err
	}
	switch rest[0] {
	case "backup":
		return backup(ctx, c, rest[1])
	case "restore":
		return restore(ctx, c, rest[1])
	case "accept-rung":
		return askServer(ctx, c.Data, "accept-rung", rest[1], os.Stdout)
	}
	return fmt.Errorf("usage: kiln %s", synopsis)
}

// backup writes one file from the running server; a file that broke off is never left behind under its name.
func backup(ctx context.Context, c config, file string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".kiln-backup-*")
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer func() { err = errors.Join(err, discard(f.Name(), err)) }()
	if err := askServer(ctx, c.Data, "backup", nil, f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	fmt.Println("kept in", file, "(without the master key: keep that apart, in another place)")
	return nil
}

// discard removes a temporary file unless it was renamed.
func discard(path string, failed error) error {
	if failed == nil {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// manifest is the first entry of a backup.
type manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	Region  string    `json:"region"`
	Account string    `json:"account"`
}

const backupFormat = 1

// writeBackup writes a gzipped tar of a manifest and the database: everything but the master key and what can be fetched or made again.
func (h *house) writeBackup(ctx context.Context, w io.Writer) error {
	dump, err := os.CreateTemp(h.config.Data, ".dump-*")
	if err != nil {
		return fmt.Errorf("make room for the backup: %w", err)
	}
	defer func() { dump.Close(); os.Remove(dump.Name()) }()
	if err := postgres.Dump(ctx, h.databaseURL(), dump); err != nil {
		return err
	}
	size, err := dump.Seek(0, io.SeekEnd) // pg_dump goes back to write its head
	if err != nil {
		return err
	}
	if _, err := dump.Seek(0, io.SeekStart); err != nil {
		return err
	}
	head, err := json.Marshal(manifest{backupFormat, version, time.Now().UTC(), h.config.Region, h.config.AccountID})
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, e := range []struct {
		name string
		size int64
		from io.Reader
	}{{"manifest.json", int64(len(head)), strings.NewReader(string(head))}, {"database.dump", size, dump}} {
		if err := t.WriteHeader(&tar.Header{Name: e.name, Mode: 0o600, Size: e.size, ModTime: time.Now()}); err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
		if _, err := io.Copy(t, e.from); err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// restore fills an empty data folder, or one whose server is stopped, from a backup. The file "-" is standard input.
func restore(ctx context.Context, c config, file string) error {
	f := os.Stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return fmt.Errorf("open the backup: %w", err)
		}
		defer f.Close()
	}
	return asServer(c, func() error { return restoreFrom(ctx, c, f) }, f, "admin", "restore", "-")
}

func restoreFrom(ctx context.Context, c config, f io.Reader) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("this is not a backup of Kiln: %w", err)
	}
	t := tar.NewReader(z)
	if err := checkManifest(t); err != nil {
		return err
	}
	if e, err := t.Next(); err != nil || e.Name != "database.dump" {
		return errors.New("the backup has no database in it")
	}
	h := &house{config: c, log: newLogger(c.LogLevel)}
	if err := h.openFolder(ctx); err != nil {
		return err
	}
	defer func() { _ = h.close(ctx) }()
	if err := h.openDatabase(ctx); err != nil {
		return err
	}
	if err := postgres.Restore(ctx, h.databaseURL(), t); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // the end carries the checksum
		return fmt.Errorf("the backup is damaged: %w", err)
	}
	fmt.Println("restored. Put the master key of the backed-up Kiln at", c.masterKeyPath(), "before you start it.")
	return nil
}

func checkManifest(t *tar.Reader) error {
	if e, err := t.Next(); err != nil || e.Name != "manifest.json" {
		return errors.New("this is not a backup of Kiln")
	}
	var m manifest
	if err := json.NewDecoder(io.LimitReader(t, 64<<10)).Decode(&m); err != nil {
		return fmt.Errorf("read the backup's first entry: %w", err)
	}
	if m.Format != backupFormat {
		return fmt.Errorf("made by Kiln %s in format %d; this one reads format %d", m.Version, m.Format, backupFormat)
	}
	return nil
}

const keptBackups = 7

// backupNightly keeps one backup a night, seven of them, in the data folder.
func (h *house) backupNightly(ctx context.Context) error {
	for {
		timer := time.NewTimer(untilNight(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := h.backupToFolder(ctx, time.Now()); err != nil && ctx.Err() == nil {
			h.log.Error("nightly backup", "err", err)
		}
	}
}

// untilNight is the time until the next 3 o'clock.
func untilNight(now time.Time) time.Duration {
	next := time.Date(now.Year(), now.Month(), now.Day(), 3, 0, 0, 0, now.Location())
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	return next.Sub(now)
}

func (h *house) backupToFolder(ctx context.Context, now time.Time) (err error) {
	dir := filepath.Join(h.config.Data, "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard(f.Name(), err)) }()
	if err := h.writeBackup(ctx, f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, "kiln-"+now.UTC().Format("2006-01-02")+".backup")); err != nil {
		return err
	}
	return dropOldBackups(dir)
}

func dropOldBackups(dir string) error {
	all, err := filepath.Glob(filepath.Join(dir, "kiln-*.backup"))
	if err != nil {
		return err
	}
	slices.Sort(all)
	for _, old := range all[:max(0, len(all)-keptBackups)] {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	return nil
}

// controlCommands answers the commands of the socket in the data folder.
func (h *house) controlCommands() *control {
	c := newControl(h.config.Data)
	c.handle("login-link", func(r *http.Request, w io.Writer) error {
		link, err := h.loginLink(r.Context())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, link)
		return err
	})
	c.handle("health", func(r *http.Request, w io.Writer) error { return json.NewEncoder(w).Encode(h.health(r.Context())) })
	c.handle("backup", func(r *http.Request, w io.Writer) error { return h.writeBackup(r.Context(), w) })
	c.handle("accept-rung", h.acceptRungCommand)
	c.handle("install-runtime", h.installCommand)
	return c
}
