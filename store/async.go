package store

import (
	"context"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// AsyncConfig is NotFound "async.missing" when none was set for the qualifier.
func (s *Store) AsyncConfig(ctx context.Context, function, qualifier string) (*lambda.EventInvokeConfig, error) {
	var c lambda.EventInvokeConfig
	err := s.read(ctx, "read an event configuration", func(db *gorm.DB) error {
		f, err := findFunction(db, function)
		if err != nil {
			return err
		}
		c, err = asyncConfig(db, f, qualifier)
		if err == nil && c.UpdatedAt.IsZero() {
			err = asyncMissing(s, function, qualifier)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func asyncMissing(s *Store, function, qualifier string) error {
	return lambda.E(lambda.NotFound, "async.missing", "arn", s.arns.Function(function, qualifier))
}

// AsyncConfigs is one page of a function's, in the order of qualifiers. limit ≤ 1,000, 0 means 50.
func (s *Store) AsyncConfigs(ctx context.Context, function, after string, limit int) ([]lambda.EventInvokeConfig, error) {
	var rows []asyncRow
	err := s.read(ctx, "list event configurations", func(db *gorm.DB) error {
		id, err := functionID(db, function)
		if err != nil {
			return err
		}
		return db.Where("function_id = ? AND qualifier > ?", id, clean(after)).Order("qualifier").Limit(bound(limit, 50, 1000)).Find(&rows).Error
	})
	return mapTo(rows, func(r *asyncRow) lambda.EventInvokeConfig { return r.domain(function) }), err
}

// PutAsyncConfig makes or replaces the configuration of c.Qualifier ("$LATEST", a version or an alias). Invalid "async.self",
// "async.destination" for a function that is not there.
func (s *Store) PutAsyncConfig(ctx context.Context, by iam.Principal, c lambda.EventInvokeConfig) (*lambda.EventInvokeConfig, error) {
	return s.changeAsync(ctx, by, "lambda:PutFunctionEventInvokeConfig", c.Function, c.Qualifier, func(*lambda.EventInvokeConfig) (lambda.EventInvokeConfig, error) {
		return c, nil
	})
}

// UpdateAsyncConfig changes parts of a configuration. NotFound "async.missing".
func (s *Store) UpdateAsyncConfig(ctx context.Context, by iam.Principal, function, qualifier string, u lambda.AsyncUpdate) (*lambda.EventInvokeConfig, error) {
	return s.changeAsync(ctx, by, "lambda:UpdateFunctionEventInvokeConfig", function, qualifier, func(old *lambda.EventInvokeConfig) (lambda.EventInvokeConfig, error) {
		if old.UpdatedAt.IsZero() {
			return *old, asyncMissing(s, function, qualifier)
		}
		return u.Apply(*old), nil
	})
}

func (s *Store) changeAsync(ctx context.Context, by iam.Principal, action, function, qualifier string, change func(*lambda.EventInvokeConfig) (lambda.EventInvokeConfig, error)) (*lambda.EventInvokeConfig, error) {
	var after lambda.EventInvokeConfig
	err := s.edit(ctx, "change an event configuration", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, function)
		if err != nil {
			return err
		}
		if err := qualified(tx, f, qualifier); err != nil {
			return err
		}
		old, err := asyncConfig(tx, f, qualifier)
		if err != nil {
			return err
		}
		c, err := change(&old)
		if err != nil {
			return err
		}
		if err := s.checkAsync(tx, f, &c); err != nil {
			return err
		}
		row := asyncRow{FunctionID: f.ID, Qualifier: qualifier, MaxRetries: c.MaxRetries, MaxAgeSec: c.MaxAgeSec, OnSuccess: c.OnSuccess,
			OnFailure: c.OnFailure, UpdatedAt: micro(time.Now())}
		err = tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "function_id"}, {Name: "qualifier"}},
			DoUpdates: clause.AssignmentColumns([]string{"max_retries", "max_age_sec", "on_success", "on_failure", "updated_at"})}).Create(&row).Error
		if err != nil {
			return err
		}
		after = row.domain(function)
		return note(tx, by, action, s.arns.Function(function, qualifier), map[string]string{"retries": reservedText(c.MaxRetries),
			"maxAge": reservedText(c.MaxAgeSec), "onSuccess": c.OnSuccess, "onFailure": c.OnFailure})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}

// checkAsync validates, and holds destinations that are functions of this account to those that exist.
func (s *Store) checkAsync(tx *gorm.DB, f *functionRow, c *lambda.EventInvokeConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	for _, arn := range []string{c.OnSuccess, c.OnFailure} {
		on, ok := subjectOf(arn)
		if !ok || on.Function == "" {
			continue
		}
		if on.Function == f.Name {
			return lambda.E(lambda.Invalid, "async.self")
		}
		target, err := findFunction(tx, on.Function)
		if err == nil {
			err = qualified(tx, target, on.Qualifier)
		}
		if lambda.KindOf(err) == lambda.NotFound {
			return lambda.E(lambda.Invalid, "async.destination", "arn", arn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteAsyncConfig removes one. NotFound "async.missing".
func (s *Store) DeleteAsyncConfig(ctx context.Context, by iam.Principal, function, qualifier string) error {
	return s.edit(ctx, "delete an event configuration", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		gone := tx.Where("function_id = ? AND qualifier = ?", id, clean(qualifier)).Delete(&asyncRow{})
		if gone.Error != nil {
			return gone.Error
		}
		if gone.RowsAffected == 0 {
			return asyncMissing(s, function, qualifier)
		}
		return note(tx, by, "lambda:DeleteFunctionEventInvokeConfig", s.arns.Function(function, qualifier), nil)
	})
}
