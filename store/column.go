package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// jsonColumn is a column of type jsonb.
type jsonColumn[T any] struct{ v T }

// Value implements driver.Valuer.
func (c jsonColumn[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(c.v)
	return string(b), err
}

// Scan implements sql.Scanner.
func (c *jsonColumn[T]) Scan(from any) error {
	return scanJSON(from, &c.v)
}

func scanJSON(from, into any) error {
	switch v := from.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), into)
	case []byte:
		return json.Unmarshal(v, into)
	}
	return fmt.Errorf("a JSON column gave %T", from)
}

// textMap is a jsonb column of names and values; nil is kept as {}.
type textMap map[string]string

// Value implements driver.Valuer.
func (m textMap) Value() (driver.Value, error) {
	if m == nil {
		return "{}", nil
	}
	b, err := json.Marshal(map[string]string(m))
	return string(b), err
}

// Scan implements sql.Scanner.
func (m *textMap) Scan(from any) error { return scanJSON(from, (*map[string]string)(m)) }

// textList is a jsonb column of texts; nil is kept as [].
type textList []string

// Value implements driver.Valuer.
func (l textList) Value() (driver.Value, error) {
	if l == nil {
		return "[]", nil
	}
	b, err := json.Marshal([]string(l))
	return string(b), err
}

// Scan implements sql.Scanner.
func (l *textList) Scan(from any) error { return scanJSON(from, (*[]string)(l)) }

// mapTo converts rows to what they mean.
func mapTo[R, D any](rows []R, domain func(*R) D) []D {
	all := make([]D, len(rows))
	for i := range rows {
		all[i] = domain(&rows[i])
	}
	return all
}

// bound gives usual for 0 and below, and at most the maximum.
func bound(n, usual, maximum int) int {
	if n <= 0 {
		return usual
	}
	return min(n, maximum)
}

// clean makes any bytes a text that Postgres takes: valid UTF-8 without zero bytes.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func cleanMap(m map[string]string) textMap {
	all := make(textMap, len(m))
	for k, v := range m {
		all[clean(k)] = clean(v)
	}
	return all
}

// micro is the time as Postgres keeps it.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func newUUID() string { return uuid.NewString() }
