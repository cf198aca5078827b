package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// schemaQueries describe the catalogue in one order that no version of pg_dump can change. Daily partitions come and go and are left out.
var schemaQueries = []struct{ title, sql string }{
	{"columns", `SELECT c.relname, c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
			|| CASE WHEN co.collname IS NOT NULL AND co.collname <> 'default' THEN ' collate ' || co.collname ELSE '' END
			|| CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
			|| CASE WHEN a.attidentity <> '' THEN ' identity' ELSE '' END
			|| CASE WHEN a.attstorage <> t.typstorage THEN ' storage ' || a.attstorage::text ELSE '' END
			|| coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation co ON co.oid = a.attcollation
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum`},
	{"tables", `SELECT c.relname, c.relname || coalesce(' partition by ' || pg_get_partkeydef(c.oid), '')
			|| coalesce(' partition of ' || i.inhparent::regclass || ' ' || pg_get_expr(c.relpartbound, c.oid), '')
			|| coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
		FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname`},
	{"indexes", `SELECT tablename, regexp_replace(indexdef, ' public\.| ONLY ', ' ', 'g') FROM pg_indexes WHERE schemaname = 'public' ORDER BY tablename, indexname`},
	{"constraints", `SELECT c.relname, c.relname || ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		WHERE k.contype IN ('c', 'f') AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname, pg_get_constraintdef(k.oid)`},
}

// Schema describes the database behind url as text, the same for the same schema on every version of PostgreSQL: migrations/schema.sql keeps it.
func Schema(ctx context.Context, url string) (string, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", fault(err, "connect to the database")
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	var b strings.Builder
	b.WriteString("-- The schema after all migrations, to be read and compared, never run. `go test ./store -run TestSchema -update` writes it.\n")
	for _, q := range schemaQueries {
		fmt.Fprintf(&b, "\n-- %s\n", q.title)
		rows, err := c.Query(ctx, q.sql)
		if err != nil {
			return "", fault(err, "describe the schema")
		}
		var table, line string
		_, err = pgx.ForEachRow(rows, []any{&table, &line}, func() error {
			if !isDaily(table) {
				b.WriteString(line + "\n")
			}
			return nil
		})
		if err != nil {
			return "", fault(err, "describe the schema")
		}
	}
	return b.String(), nil
}

func isDaily(table string) bool {
	for _, parent := range partitioned {
		if date, ok := strings.CutPrefix(table, parent+"_"); ok && date != "default" {
			return true
		}
	}
	return false
}
