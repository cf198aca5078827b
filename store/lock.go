package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockNumber names the one-server lock within a database.
const lockNumber = 0x6b696c6e // "kiln"

// ErrSecondServer ends a second server on the same database.
var ErrSecondServer = errors.New("another Kiln server already uses this database")

// serverLock is a session advisory lock on a connection of its own. A goroutine watches the connection and takes the lock again
// after the database came back; when somebody else has it by then, lost is closed.
type serverLock struct {
	url    string
	log    *slog.Logger
	held   atomic.Bool
	lost   chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

func takeServerLock(ctx context.Context, url string, log *slog.Logger) (*serverLock, error) {
	c, err := lockConn(ctx, url)
	if err != nil {
		return nil, err
	}
	watching, cancel := context.WithCancel(context.Background())
	l := &serverLock{url: url, log: log, lost: make(chan struct{}), cancel: cancel, ended: make(chan struct{})}
	l.held.Store(true)
	go l.watch(watching, c)
	return l, nil
}

// lockConn connects and takes the lock. A predecessor that was killed a moment ago may hold it until the database notices.
func lockConn(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fault(err, "connect to the database")
	}
	for try := 0; ; try++ {
		var got bool
		if err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockNumber).Scan(&got); err != nil {
			_ = c.Close(ctx)
			return nil, fault(err, "take the one-server lock")
		}
		if got {
			return c, nil
		}
		if try == 10 {
			_ = c.Close(ctx)
			return nil, ErrSecondServer
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			_ = c.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("take the one-server lock: %w", ctx.Err())
		}
	}
}

// watch blocks in a read that ends at once when the connection breaks.
func (l *serverLock) watch(ctx context.Context, c *pgx.Conn) {
	defer close(l.ended)
	for {
		_, err := c.WaitForNotification(ctx)
		if err == nil {
			continue
		}
		l.held.Store(false)
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = c.Close(closing)
		cancel()
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("the one-server lock's connection broke; taking it again", "error", err)
		if c = l.again(ctx); c == nil {
			return
		}
		l.held.Store(true)
	}
}

// again is nil when the lock belongs to somebody else or the store is being closed.
func (l *serverLock) again(ctx context.Context) *pgx.Conn {
	for {
		c, err := lockConn(ctx, l.url)
		if err == nil {
			return c
		}
		if errors.Is(err, ErrSecondServer) {
			l.log.Error("another server has taken this database")
			close(l.lost)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (l *serverLock) release() {
	l.cancel()
	<-l.ended
}
