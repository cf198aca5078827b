package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"

	"kiln/migrations"

	"github.com/jackc/pgx/v5"
)

// migrationLock serialises servers and commands that migrate at once.
const migrationLock = 0x6b696c6d

// Migrate brings the database's schema up to this program's, each step in a transaction of its own, and does nothing when it is already.
// It fails when a step that was applied has changed since, and when the database is newer than the program.
func Migrate(ctx context.Context, url string) error { return migrate(ctx, url, migrations.Files) }

type step struct{ name, sql, checksum string }

func migrate(ctx context.Context, url string, files fs.FS) error {
	steps, err := stepsIn(files)
	if err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return fault(err, "connect to the database")
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fault(err, "wait for other migrations")
	}
	done, err := applied(ctx, c)
	if err != nil {
		return err
	}
	if err := agree(steps, done); err != nil {
		return err
	}
	for _, s := range steps[len(done):] {
		if err := apply(ctx, c, s); err != nil {
			return err
		}
	}
	return nil
}

func stepsIn(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "[0-9][0-9][0-9][0-9]_*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	slices.Sort(names)
	steps := make([]step, 0, len(names))
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		sum := sha256.Sum256(b)
		steps = append(steps, step{name, string(b), hex.EncodeToString(sum[:])})
	}
	return steps, nil
}

func applied(ctx context.Context, c *pgx.Conn) ([]step, error) {
	_, err := c.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
		name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		return nil, fault(err, "make the table of migrations")
	}
	rows, err := c.Query(ctx, "SELECT name, checksum FROM schema_migrations ORDER BY name")
	if err != nil {
		return nil, fault(err, "read the applied migrations")
	}
	done, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s step, err error) {
		return s, r.Scan(&s.name, &s.checksum)
	})
	return done, fault(err, "read the applied migrations")
}

// agree checks that what was applied is a beginning of what the program has.
func agree(steps, done []step) error {
	if len(done) > len(steps) {
		return fmt.Errorf("the database is newer than this program: it has migration %s; use the newer program", done[len(steps)].name)
	}
	for i, d := range done {
		switch {
		case d.name != steps[i].name:
			return fmt.Errorf("the database has migration %s where this program has %s", d.name, steps[i].name)
		case d.checksum != steps[i].checksum:
			return fmt.Errorf("migration %s was changed after it had been applied", d.name)
		}
	}
	return nil
}

func apply(ctx context.Context, c *pgx.Conn, s step) error {
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", s.name, s.checksum)
		return err
	})
	return fault(err, "apply migration "+s.name)
}
