// Package store is the only room that knows Postgres. Every exported method opens its own transaction, validates with the domain's
// Validate, writes the audit row with the change, and returns domain types and *lambda.Error values. It is safe for concurrent use.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kiln/lambda"
	"kiln/secret"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Options says how to open a store.
type Options struct {
	URL       string       // postgres:// or a socket form that pgx takes
	Keys      *secret.Ring // seals environments and keys, keys digests
	MasterKey []byte       // 32 bytes: a ring of one key, when Keys is nil
	Region    string
	AccountID string
	Log       *slog.Logger
}

// Connections: each kind of work has its share of the pool, so that none can starve another. The one-server lock and the log have connections of their own.
const (
	telemetryConns = 2
	queueConns     = 4
	consoleConns   = 12
)

// Store is Postgres. Close it after everything that uses it has ended.
type Store struct {
	pool  *pgxpool.Pool
	db    *gorm.DB
	ring  *secret.Ring
	arns  lambda.ARNs
	log   *slog.Logger
	lock  *serverLock
	epoch int64

	digestKey []byte

	console, queue, telemetry share

	logs     *logConn
	enqueuer *enqueuer
	trims    *bodyTrims
	closing  sync.Once
}

// Open connects, migrates when needed, takes the one-server lock and checks the master key against what is sealed.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		s.disconnect()
		return nil, err
	}
	return s, nil
}

func connect(ctx context.Context, o Options) (*Store, error) {
	s := &Store{ring: o.Keys, log: o.Log, arns: lambda.ARNs{Region: o.Region, AccountID: o.AccountID},
		console: make(share, consoleConns), queue: make(share, queueConns), telemetry: make(share, telemetryConns)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.ring == nil {
		ring, err := secret.NewRing(o.MasterKey)
		if err != nil {
			return nil, err
		}
		s.ring = ring
	}
	s.digestKey = s.ring.Derive("revision digest")
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be read") // the parser's own text may hold the password
	}
	c.MaxConns = telemetryConns + queueConns + consoleConns
	c.MinConns = 1
	c.ConnConfig.RuntimeParams["application_name"] = "kiln"
	c.ConnConfig.RuntimeParams["timezone"] = "UTC"
	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "60s"
	s.logs = &logConn{config: c.ConnConfig.Copy()}
	if s.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	sqlDB := stdlib.OpenDBFromPool(s.pool)
	sqlDB.SetMaxIdleConns(0)
	s.db, err = gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: sqlDB}), &gorm.Config{
		TranslateError: true, SkipDefaultTransaction: true, DisableAutomaticPing: true, Logger: logger.Discard,
	})
	if err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, o Options) error {
	var err error
	if s.lock, err = takeServerLock(ctx, o.URL, s.log); err != nil {
		return err
	}
	if err := Migrate(ctx, o.URL); err != nil {
		return err
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	if err := s.pool.QueryRow(ctx, "UPDATE server SET epoch = epoch + 1 RETURNING epoch").Scan(&s.epoch); err != nil {
		return fault(err, "count this start")
	}
	if err := s.seedRole(ctx); err != nil {
		return err
	}
	if err := s.makePartitions(ctx, time.Now()); err != nil {
		return err
	}
	s.trims = newBodyTrims()
	s.enqueuer = startEnqueuer(s)
	return nil
}

// keyCheck is the place of the value that tells whether the master key is the right one.
const keyCheck = "key check"

// checkKey refuses a master key that cannot open what is sealed already; the first start seals a known value for the later ones.
func (s *Store) checkKey(ctx context.Context) error {
	var sealed []byte
	if err := s.pool.QueryRow(ctx, "SELECT key_check FROM server").Scan(&sealed); err != nil {
		return fault(err, "read the key check")
	}
	if sealed == nil {
		_, err := s.pool.Exec(ctx, "UPDATE server SET key_check = $1", s.ring.Seal([]byte("kiln"), keyCheck))
		return fault(err, "keep the key check")
	}
	if _, err := s.ring.Open(sealed, keyCheck); err != nil {
		return errors.New("the database holds values that were sealed with another master key: put the right key file back (KILN_MASTER_KEY_FILE or master.key in the data folder); nothing was changed")
	}
	return nil
}

// Close writes what is on its way into the queue, gives back the one-server lock and every connection.
func (s *Store) Close() {
	s.closing.Do(func() {
		s.enqueuer.stop()
		s.disconnect()
	})
}

func (s *Store) disconnect() {
	if s.lock != nil {
		s.lock.release()
	}
	s.logs.close()
	if sqlDB, err := s.db.DB(); err == nil {
		_ = sqlDB.Close() // only gives connections back to the pool
	}
	s.pool.Close()
}

// Lost is closed when another server has taken the one-server lock: stop claiming at once and end.
// While the lock's connection is only broken (the database restarts), claims are refused and the lock is taken again.
func (s *Store) Lost() <-chan struct{} { return s.lock.lost }

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return fault(s.pool.Ping(ctx), "reach the database")
}

// Epoch is the number of this server start, one more than the last one's; the epoch of every log id.
func (s *Store) Epoch() int64 { return s.epoch }

// ARNs makes the ARNs of this store's account.
func (s *Store) ARNs() lambda.ARNs { return s.arns }
