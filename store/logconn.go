package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// logConn is the one connection of CopyLogs and FlushedLSN. A crash of the database, even one that nobody sees, breaks it, so the next
// call after the crash fails: a position that was answered before it can never be taken for durable after it. The pool would hide that.
type logConn struct {
	config *pgx.ConnConfig
	mu     sync.Mutex
	conn   *pgx.Conn
}

func (l *logConn) use(ctx context.Context, f func(c *pgx.Conn) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		c, err := pgx.ConnectConfig(ctx, l.config.Copy())
		if err != nil {
			return err
		}
		l.conn = c
	}
	err := f(l.conn)
	if err != nil && l.conn.IsClosed() {
		l.conn = nil
	}
	return err
}

func (l *logConn) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.conn.Close(ctx)
		l.conn = nil
	}
}

// onLogConn runs f on the connection of the log.
func (s *Store) onLogConn(ctx context.Context, what string, f func(c *pgx.Conn) error) error {
	leave, err := s.telemetry.enter(ctx)
	if err != nil {
		return fault(err, what)
	}
	defer leave()
	return fault(s.logs.use(ctx, f), what)
}
