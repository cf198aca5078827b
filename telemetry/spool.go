package telemetry

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// spool is a file of records for the time when the database is away. Each record is its length, a checksum and JSON.
// A torn end, as a crash leaves it, ends the reading. It is not safe for concurrent use.
type spool[T any] struct {
	path string
	max  int64
	f    *os.File
	size int64 // end of the last whole record
	read int64 // up to here it was replayed
}

const spoolHead = 8

// openSpool opens what an earlier server left, or makes an empty file.
func openSpool[T any](path string, most int64) (*spool[T], error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	s := &spool[T]{path: path, max: most, f: f}
	r := bufio.NewReader(f)
	for {
		_, n, err := readRecord[T](r)
		if err != nil {
			break // the end, or a record that a crash cut off
		}
		s.size += n
	}
	if err := f.Truncate(s.size); err != nil {
		f.Close()
		return nil, fmt.Errorf("cut the spool: %w", err)
	}
	return s, nil
}

func (s *spool[T]) empty() bool { return s.read >= s.size }

// full says whether it takes no more; a record may go past the limit.
func (s *spool[T]) full() bool { return s.size >= s.max }

// append adds one record. After an error the file is as before and counts as full until it is drained.
func (s *spool[T]) append(items []T) error {
	body, err := json.Marshal(items)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	rec := make([]byte, spoolHead, spoolHead+len(body))
	binary.LittleEndian.PutUint32(rec, uint32(len(body)))
	binary.LittleEndian.PutUint32(rec[4:], crc32.ChecksumIEEE(body))
	rec = append(rec, body...)
	if _, err := s.f.WriteAt(rec, s.size); err != nil {
		return errors.Join(fmt.Errorf("spool: %w", err), s.f.Truncate(s.size))
	}
	s.size += int64(len(rec))
	return nil
}

// next reads records until at least `least` items are there, or the end. done moves past them.
func (s *spool[T]) next(least int) (items []T, done func(), err error) {
	r := bufio.NewReader(io.NewSectionReader(s.f, s.read, s.size-s.read))
	end := s.read
	for len(items) < least && end < s.size {
		got, n, err := readRecord[T](r)
		if err != nil {
			return nil, nil, fmt.Errorf("read the spool: %w", err)
		}
		items, end = append(items, got...), end+n
	}
	return items, func() { s.read = end }, nil
}

// reset empties it.
func (s *spool[T]) reset() error {
	s.size, s.read = 0, 0
	return s.f.Truncate(0)
}

// close keeps what was not replayed for the next server.
func (s *spool[T]) close() error {
	if s.empty() {
		return errors.Join(s.f.Close(), os.Remove(s.path))
	}
	return errors.Join(s.f.Sync(), s.f.Close())
}

func readRecord[T any](r io.Reader) (items []T, n int64, err error) {
	var head [spoolHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > 1<<30 {
		return nil, 0, io.ErrUnexpectedEOF
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(size))) // grows with what is there, not with what the head says
	if err != nil || len(body) < int(size) || crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, 0, err
	}
	return items, int64(len(body)) + spoolHead, nil
}
