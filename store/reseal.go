package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// sealedColumns are all sealed values: which rows, and the place that each is bound to.
var sealedColumns = []struct {
	table, key, place, column string // key and place are SQL expressions; place is the number or name that where takes
	where                     func(place string) string
}{
	{"functions", "id::text", "id::text", "env", envPlaceOf},
	{"revisions", "function_id || ' ' || number", "function_id::text", "env", envPlaceOf},
	{"versions", "function_id || ' ' || number", "function_id::text", "env", envPlaceOf},
	{"runnables", "digest", "function_id::text", "env", envPlaceOf},
	{"access_keys", "id", "id", "secret", keyPlace},
	{"server", "'1'", "''", "key_check", func(string) string { return keyCheck }},
}

func envPlaceOf(function string) string {
	id, err := strconv.ParseInt(function, 10, 64)
	if err != nil {
		return function // no place that anything was sealed for
	}
	return envPlace(id)
}

// Reseal seals every value anew that an older key of the ring sealed, and answers how many. Afterwards the older keys may be dropped.
// It may run while the server runs, and again after it broke off.
func (s *Store) Reseal(ctx context.Context) (changed int, err error) {
	for _, col := range sealedColumns {
		n, err := s.resealColumn(ctx, col.table, col.key, col.place, col.column, col.where)
		changed += n
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func (s *Store) resealColumn(ctx context.Context, table, key, place, column string, where func(string) string) (changed int, err error) {
	err = s.inTx(ctx, s.console, "seal "+table+" anew", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT "+key+", "+place+", "+column+" FROM "+table+" WHERE "+column+" IS NOT NULL FOR UPDATE")
		if err != nil {
			return err
		}
		var k, at string
		var sealed []byte
		var keys []string
		var values [][]byte
		_, err = pgx.ForEachRow(rows, []any{&k, &at, &sealed}, func() error {
			if s.ring.Current(sealed) {
				return nil
			}
			plain, err := s.ring.Open(sealed, where(at))
			if err != nil {
				return fmt.Errorf("%s %s: %w", table, k, err)
			}
			keys, values = append(keys, k), append(values, s.ring.Seal(plain, where(at)))
			return nil
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		changed = len(keys)
		_, err = tx.Exec(ctx, "UPDATE "+table+" SET "+column+" = x.v FROM unnest($1::text[], $2::bytea[]) AS x(k, v) WHERE "+key+" = x.k", keys, values)
		return err
	})
	return changed, err
}
