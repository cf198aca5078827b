package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

const (
	day            = 24 * time.Hour
	partitionAhead = 3    // days for which partitions are made
	minuteDays     = 40   // minute roll-ups are kept
	hourDays       = 400  // hour roll-ups are kept
	unusedCode     = day  // a package that nothing names is kept this long
	ddlPatience    = "2s" // partitions must not hold up writers
	partitionName  = "20060102"
)

// partitioned are the tables with daily partitions.
var partitioned = []string{"log_lines", "invocations", "invocation_bodies"}

// Retain makes partitions ahead and drops those that are older than the settings say; called hourly. Every step is tried, whatever fails.
func (s *Store) Retain(ctx context.Context, now time.Time) error {
	keep := lambda.DefaultRetention
	if err := s.Setting(ctx, "retention", &keep); err != nil {
		return err
	}
	if err := keep.Validate(); err != nil {
		return fmt.Errorf("setting retention: %w", err)
	}
	logs, runs := now.AddDate(0, 0, -keep.LogDays), now.AddDate(0, 0, -keep.InvocationDays)
	return errors.Join(
		s.makePartitions(ctx, now),
		s.dropPartitions(ctx, "log_lines", logs, now),
		s.dropPartitions(ctx, "invocations", runs, now),
		s.dropPartitions(ctx, "invocation_bodies", runs, now),
		s.trimAllBodies(ctx),
		s.sweep(ctx, now, keep),
	)
}

// makePartitions makes those of yesterday to three days ahead that are missing.
func (s *Store) makePartitions(ctx context.Context, now time.Time) error {
	var problems []error
	for _, table := range partitioned {
		there, err := s.partitions(ctx, table)
		problems = append(problems, err)
		for d := -1; d <= partitionAhead && err == nil; d++ {
			from := now.UTC().Truncate(day).AddDate(0, 0, d)
			if name := table + "_" + from.Format(partitionName); !slices.Contains(there, name) {
				problems = append(problems, s.makePartition(ctx, table, name, from))
			}
		}
	}
	return errors.Join(problems...)
}

// makePartition moves what the default partition holds of that day into the new one.
func (s *Store) makePartition(ctx context.Context, table, name string, from time.Time) error {
	first, last := "'"+from.Format(time.RFC3339)+"'", "'"+from.Add(day).Format(time.RFC3339)+"'"
	return s.inTx(ctx, s.console, "make partition "+name, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"SET LOCAL lock_timeout = '" + ddlPatience + "'",
			"LOCK TABLE " + table + "_default IN SHARE ROW EXCLUSIVE MODE",
			"CREATE TABLE " + name + " (LIKE " + table + " INCLUDING ALL)",
			"WITH moved AS (DELETE FROM " + table + "_default WHERE ts >= " + first + " AND ts < " + last + " RETURNING *) INSERT INTO " + name + " SELECT * FROM moved",
			"ALTER TABLE " + table + " ATTACH PARTITION " + name + " FOR VALUES FROM (" + first + ") TO (" + last + ")",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropPartitions drops those whose whole day lies before the limit, and what the default partition holds that no day will ever take.
func (s *Store) dropPartitions(ctx context.Context, table string, limit, now time.Time) error {
	names, err := s.partitions(ctx, table)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		from, err := time.Parse(partitionName, strings.TrimPrefix(name, table+"_"))
		if err != nil || from.Add(day).After(limit) {
			continue // the default one, or young enough
		}
		problems = append(problems, s.inTx(ctx, s.console, "drop partition "+name, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+ddlPatience+"'"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize())
			return err
		}))
	}
	problems = append(problems, s.with(ctx, s.console, "clean the default partition of "+table, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "DELETE FROM "+table+"_default WHERE ts < $1 OR ts > $2", limit, now.AddDate(0, 0, 30))
		return err
	}))
	return errors.Join(problems...)
}

func (s *Store) partitions(ctx context.Context, table string) (names []string, err error) {
	err = s.with(ctx, s.console, "list partitions", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1", table)
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return names, err
}

func (s *Store) trimAllBodies(ctx context.Context) error {
	return s.with(ctx, s.console, "trim bodies", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT function_id FROM invocation_bodies WHERE NOT keep GROUP BY 1 HAVING count(*) > $1", keptBodies)
		if err != nil {
			return err
		}
		functions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		for _, id := range functions {
			if _, err := c.Exec(ctx, trimSQL, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweep removes what has ended and what nothing names any more.
func (s *Store) sweep(ctx context.Context, now time.Time, keep lambda.Retention) error {
	return s.edit(ctx, "sweep", func(tx *gorm.DB) error {
		for _, x := range []struct {
			sql    string
			before time.Time
		}{
			{"DELETE FROM metric_minute WHERE at < ?", now.AddDate(0, 0, -minuteDays)},
			{"DELETE FROM metric_hour WHERE at < ?", now.AddDate(0, 0, -hourDays)},
			{"DELETE FROM audit WHERE at < ?", now.AddDate(0, 0, -keep.AuditDays)},
			{"DELETE FROM login_tokens WHERE expires_at < ?", now},
			{"DELETE FROM sessions WHERE seen_at < ?", now.Add(-sessionIdle)},
			{"DELETE FROM dead_letters WHERE at < ?", now.AddDate(0, 0, -keep.InvocationDays)},
			{"DELETE FROM event_queue q WHERE accepted_at < ? AND NOT EXISTS (SELECT FROM functions f WHERE f.id = q.function_id)", now.Add(-day)},
			{"DELETE FROM log_lines l USING functions f WHERE f.log_days IS NOT NULL AND l.function_id = f.id AND l.ts < ?::timestamptz - f.log_days * interval '1 day'", now},
		} {
			if err := tx.Exec(x.sql, x.before).Error; err != nil {
				return err
			}
		}
		if err := sweepRunnables(tx, now); err != nil {
			return err
		}
		return sweepCode(tx, now)
	})
}

func sweepCode(tx *gorm.DB, now time.Time) error {
	return tx.Exec(`WITH unused AS (DELETE FROM code c WHERE c.created_at < ?
			AND NOT EXISTS (SELECT FROM functions x WHERE x.code_sha256 = c.sha256)
			AND NOT EXISTS (SELECT FROM revisions x WHERE x.code_sha256 = c.sha256)
			AND NOT EXISTS (SELECT FROM versions x WHERE x.code_sha256 = c.sha256)
			AND NOT EXISTS (SELECT FROM runnables x WHERE x.code_sha256 = c.sha256)
			AND NOT EXISTS (SELECT FROM layer_versions x WHERE x.code_sha256 = c.sha256)
			AND NOT EXISTS (SELECT FROM revisions x WHERE x.layer_code @> jsonb_build_array(jsonb_build_object('SHA256', c.sha256)))
			AND NOT EXISTS (SELECT FROM runnables x WHERE x.layer_code @> jsonb_build_array(jsonb_build_object('SHA256', c.sha256)))
			RETURNING upload)
		DELETE FROM code_chunks WHERE upload IN (SELECT upload FROM unused)`, now.Add(-unusedCode)).Error
}
