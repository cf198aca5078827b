package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// share bounds how many connections one kind of work holds at once.
type share chan struct{}

func (s share) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// edit runs f in one transaction of the console's share, with gorm. what names it for the log.
func (s *Store) edit(ctx context.Context, what string, f func(tx *gorm.DB) error) error {
	leave, err := s.console.enter(ctx)
	if err != nil {
		return fault(err, what)
	}
	defer leave()
	return fault(s.db.WithContext(ctx).Transaction(f), what)
}

// read runs f without a transaction of its own on the console's share, with gorm.
func (s *Store) read(ctx context.Context, what string, f func(db *gorm.DB) error) error {
	leave, err := s.console.enter(ctx)
	if err != nil {
		return fault(err, what)
	}
	defer leave()
	return fault(f(s.db.WithContext(ctx)), what)
}

// with runs f on one connection of sh, with pgx.
func (s *Store) with(ctx context.Context, sh share, what string, f func(c *pgx.Conn) error) error {
	leave, err := sh.enter(ctx)
	if err != nil {
		return fault(err, what)
	}
	defer leave()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return fault(err, what)
	}
	defer c.Release()
	return fault(f(c.Conn()), what)
}

// inTx runs f in one transaction on one connection of sh, with pgx.
func (s *Store) inTx(ctx context.Context, sh share, what string, f func(tx pgx.Tx) error) error {
	return s.with(ctx, sh, what, func(c *pgx.Conn) error { return pgx.BeginFunc(ctx, c, f) })
}

// fault gives a domain error through, tells an absent database from the rest, and names what was being done.
func fault(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*lambda.Error](err); ok {
		return err
	}
	if away(err) {
		return lambda.E(lambda.Unavailable, "database.away").Because(fmt.Errorf("%s: %w", what, err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// away says whether err means that the database does not answer now.
func away(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// 57P0x: shut down, crashed, starting up; 53300: too many connections; 53100: disk full; 08: connection
		return strings.HasPrefix(pg.Code, "57P0") || pg.Code == "53300" || pg.Code == "53100" || strings.HasPrefix(pg.Code, "08")
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	text := err.Error() // pgconn has no type for a connection that broke between two statements
	return strings.Contains(text, "conn closed") || strings.Contains(text, "unexpected EOF") || strings.Contains(text, "bad connection")
}

func isDuplicate(err error) bool {
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23505"
}

func isMissing(err error) bool {
	return errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, pgx.ErrNoRows)
}
