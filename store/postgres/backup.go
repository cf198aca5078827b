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

// Restore replaces the whole content of the database behind url by a Dump, in one transaction: a damaged dump changes nothing.
// No server may use it meanwhile.
func Restore(ctx context.Context, url string, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends psql without a commit when the script is not whole
	script, err := client(ctx, url, "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--file=-")
	if err != nil {
		return err
	}
	psql, err := client(ctx, url, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output="+os.DevNull)
	if err != nil {
		return err
	}
	sql, err := psql.StdinPipe()
	if err != nil {
		return fmt.Errorf("restore the database: %w", err)
	}
	var complaints logTail
	psql.Stderr = &complaints
	if err := psql.Start(); err != nil {
		return fmt.Errorf("restore the database: %w", err)
	}
	script.Stdin, script.Stdout = r, sql
	_, err = io.WriteString(sql, "BEGIN;\nDROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n")
	if err == nil {
		err = run(script, "restore the database")
	}
	if err == nil {
		_, err = io.WriteString(sql, "\nCOMMIT;\n")
	}
	_ = sql.Close() // without COMMIT the end of its input rolls back
	if ended := psql.Wait(); ended != nil {
		return fmt.Errorf("restore the database: %w: %s", ended, lastLine(complaints))
	}
	return err
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
