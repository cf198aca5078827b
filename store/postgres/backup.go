package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Dump writes the whole database behind url to w in pg_dump's custom format, a consistent snapshot. It works while the server runs.
func Dump(ctx context.Context, url string, w io.Writer) error {
	cmd, err := client(ctx, url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges")
	if err != nil {
		return err
	}
	cmd.Stdout = w
	return run(cmd, "back up the database")
}

// Restore replaces the whole content of the database behind url by a Dump, in one transaction. No server may use it meanwhile.
func Restore(ctx context.Context, url string, r io.Reader) error {
	if err := empty(ctx, url); err != nil {
		return err
	}
	cmd, err := client(ctx, url, "pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
	if err != nil {
		return err
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("the database's address cannot be read")
	}
	cmd.Args = append(cmd.Args, "--dbname="+c.Database)
	cmd.Stdin = r
	return run(cmd, "restore the database")
}

func empty(ctx context.Context, url string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the database to restore: %w", err)
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		return fmt.Errorf("empty the database to restore: %w", err)
	}
	return nil
}

// client prepares a client program; address and password go by environment, because every user of the machine can read arguments.
func client(ctx context.Context, url, program string, args ...string) (*exec.Cmd, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's address cannot be read")
	}
	bin, err := newest(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin.path(program), args...)
	cmd.Env = append(environment(), "PGHOST="+c.Host, "PGPORT="+strconv.Itoa(int(c.Port)), "PGUSER="+c.User, "PGPASSWORD="+c.Password, "PGDATABASE="+c.Database)
	if c.TLSConfig != nil {
		cmd.Env = append(cmd.Env, "PGSSLMODE=require")
	}
	cmd.Dir = os.TempDir()
	return cmd, nil
}

// newest: a client program reads servers of its own major and older ones.
func newest(ctx context.Context) (binaries, error) {
	var best binaries
	for _, b := range installed(ctx) {
		if _, err := os.Stat(b.path("pg_dump")); err == nil && b.major > best.major {
			best = b
		}
	}
	if best.major == 0 {
		return best, errors.New("pg_dump is not installed (Debian and Ubuntu: package postgresql-client)")
	}
	return best, nil
}

func run(cmd *exec.Cmd, what string) error {
	var complaints logTail
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, lastLine(complaints))
	}
	return nil
}

// logTail keeps the end of what a program complained about.
type logTail []byte

func (t *logTail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - 4096; over > 0 {
		*t = (*t)[over:]
	}
	return len(p), nil
}
