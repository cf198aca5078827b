package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

const chunkSize = 1 << 20

// PutCode keeps a package under its SHA-256 (1 MiB chunk rows); the same bytes are kept once. TooLarge "code.size" past lambda.MaxZip.
// It holds a connection while it reads: zip should be in memory or a file, not a client's slow body.
func (s *Store) PutCode(ctx context.Context, zip io.Reader) (lambda.Code, error) {
	var kept lambda.Code
	err := s.inTx(ctx, s.console, "keep a package", func(tx pgx.Tx) (err error) {
		kept, err = putCode(ctx, tx, zip)
		return err
	})
	return kept, err
}

func putCode(ctx context.Context, tx pgx.Tx, zip io.Reader) (lambda.Code, error) {
	var upload int64
	if err := tx.QueryRow(ctx, "SELECT nextval(pg_get_serial_sequence('code', 'upload'))").Scan(&upload); err != nil {
		return lambda.Code{}, err
	}
	code, err := putChunks(ctx, tx, upload, zip)
	if err != nil {
		return lambda.Code{}, err
	}
	// The time is renewed for code that is there already: what is about to be used must not be swept away.
	var mine int64
	err = tx.QueryRow(ctx, `INSERT INTO code (sha256, upload, size, created_at) VALUES ($1, $2, $3, now())
		ON CONFLICT (sha256) DO UPDATE SET created_at = now() RETURNING upload`, code.SHA256, upload, code.Size).Scan(&mine)
	if err != nil {
		return lambda.Code{}, err
	}
	if mine != upload { // the same bytes are there
		_, err = tx.Exec(ctx, "DELETE FROM code_chunks WHERE upload = $1", upload)
	}
	return code, err
}

func putChunks(ctx context.Context, tx pgx.Tx, upload int64, zip io.Reader) (lambda.Code, error) {
	hash, size := sha256.New(), int64(0)
	chunk := make([]byte, chunkSize)
	for n := 0; ; n++ {
		got, err := io.ReadFull(zip, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return lambda.Code{}, fmt.Errorf("read the package: %w", err)
		}
		if size += int64(got); size > lambda.MaxZip {
			return lambda.Code{}, lambda.E(lambda.TooLarge, "code.size", "max", fmt.Sprint(lambda.MaxZip))
		}
		_, _ = hash.Write(chunk[:got]) // a hash never fails
		if got > 0 {
			if _, err := tx.Exec(ctx, "INSERT INTO code_chunks (upload, n, data) VALUES ($1, $2, $3)", upload, n, chunk[:got]); err != nil {
				return lambda.Code{}, err
			}
		}
		if err != nil {
			return lambda.Code{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: size}, nil
		}
	}
}

// OpenCode reads a kept package. NotFound "code.missing".
func (s *Store) OpenCode(ctx context.Context, sha256 string) (io.ReadCloser, error) {
	r := &codeReader{ctx: ctx, s: s}
	err := s.with(ctx, s.console, "open a package", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT upload, size FROM code WHERE sha256 = $1", clean(sha256)).Scan(&r.upload, &r.left)
	})
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "code.missing", "sha256", sha256)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// codeReader fetches chunk by chunk and holds no connection in between.
type codeReader struct {
	ctx    context.Context
	s      *Store
	upload int64
	n      int
	left   int64
	chunk  []byte
}

func (r *codeReader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.chunk)
	r.chunk, r.left = r.chunk[n:], r.left-int64(n)
	return n, nil
}

func (r *codeReader) fetch() error {
	err := r.s.with(r.ctx, r.s.console, "read a package", func(c *pgx.Conn) error {
		return c.QueryRow(r.ctx, "SELECT data FROM code_chunks WHERE upload = $1 AND n = $2", r.upload, r.n).Scan(&r.chunk)
	})
	if err == nil && len(r.chunk) == 0 {
		err = fmt.Errorf("read a package: chunk %d is empty", r.n)
	}
	r.n++
	return err
}

// Close implements io.Closer.
func (r *codeReader) Close() error { return nil }

// keptCode is the package by its hash with the size that is kept, whatever size the caller named.
func keptCode(db *gorm.DB, sha256 string) (lambda.Code, error) {
	var sizes []int64
	// The row's lock keeps the sweep of unused packages away until the reference is committed.
	if err := db.Raw("SELECT size FROM code WHERE sha256 = ? FOR SHARE", clean(sha256)).Scan(&sizes).Error; err != nil {
		return lambda.Code{}, err
	}
	if len(sizes) == 0 {
		return lambda.Code{}, lambda.E(lambda.NotFound, "code.missing", "sha256", sha256)
	}
	return lambda.Code{SHA256: sha256, Size: sizes[0]}, nil
}
