package store

import (
	"context"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

// AccountUsage is what the account has: functions, and bytes of all kept packages of functions, versions and layers.
func (s *Store) AccountUsage(ctx context.Context) (functions int, codeBytes int64, err error) {
	err = s.with(ctx, s.console, "sum the account's usage", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT (SELECT count(*) FROM functions), (SELECT coalesce(sum(code_size), 0) FROM functions)
			+ (SELECT coalesce(sum(code_size), 0) FROM versions) + (SELECT coalesce(sum(code_size), 0) FROM layer_versions)`).Scan(&functions, &codeBytes)
	})
	return functions, codeBytes, err
}

// ChangeTags sets and removes tags of a function, whatever others changed meanwhile.
func (s *Store) ChangeTags(ctx context.Context, by iam.Principal, function string, set map[string]string, remove []string) error {
	return s.edit(ctx, "change tags", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, function)
		if err != nil {
			return err
		}
		tags := map[string]string{}
		for k, v := range f.Tags {
			tags[k] = v
		}
		for _, k := range remove {
			delete(tags, k)
		}
		for k, v := range set {
			tags[k] = v
		}
		if err := lambda.ValidateTags(tags); err != nil {
			return err
		}
		if err := tx.Table("functions").Where("id = ?", f.ID).Update("tags", textMap(tags)).Error; err != nil {
			return err
		}
		action, names := "lambda:TagResource", sortedKeys(set)
		if len(set) == 0 {
			action, names = "lambda:UntagResource", remove
		}
		return note(tx, by, action, s.arns.Function(function, ""), map[string]string{"tags": clean(strings.Join(names, ", "))})
	})
}

// SetLogRetention keeps a function's log lines for so many days, when that is less than the account's; nil leaves it to the account.
func (s *Store) SetLogRetention(ctx context.Context, by iam.Principal, function string, days *int) error {
	return s.edit(ctx, "set a log retention", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		if err := tx.Table("functions").Where("id = ?", id).Update("log_days", days).Error; err != nil {
			return err
		}
		return note(tx, by, "logs:PutRetentionPolicy", s.arns.Function(function, ""), map[string]string{"days": reservedText(days)})
	})
}

// LogRetention is nil when the account's setting counts.
func (s *Store) LogRetention(ctx context.Context, function string) (days *int, err error) {
	err = s.read(ctx, "read a log retention", func(db *gorm.DB) error {
		f, err := findFunction(db, function)
		if err != nil {
			return err
		}
		days = f.LogDays
		return nil
	})
	return days, err
}

// DeleteLogs removes a function's kept log lines.
func (s *Store) DeleteLogs(ctx context.Context, by iam.Principal, function string) error {
	return s.edit(ctx, "delete log lines", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		if err := tx.Exec("DELETE FROM log_lines WHERE function_id = ?", id).Error; err != nil {
			return err
		}
		return note(tx, by, "logs:DeleteLogGroup", s.arns.Function(function, ""), nil)
	})
}

// LogStreams is one page of the workers that ran a function since from, by name after one. limit ≤ 1,000, 0 means 50.
func (s *Store) LogStreams(ctx context.Context, functionID int64, prefix, after string, from time.Time, limit int) ([]lambda.LogStream, error) {
	var all []lambda.LogStream
	err := s.search(ctx, "list log streams", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT worker, min(ts), max(ts + duration_us * interval '1 microsecond') FROM invocations
			WHERE function_id = $1 AND ts >= $2 AND worker > $3 AND starts_with(worker, $4) AND worker <> '' GROUP BY worker ORDER BY worker LIMIT $5`,
			functionID, from, clean(after), clean(prefix), bound(limit, 50, 1000))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l lambda.LogStream, err error) {
			return l, r.Scan(&l.Name, &l.First, &l.Last)
		})
		return err
	})
	return all, err
}
