package store

import (
	"context"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// maxTestEvents bounds the saved events of a function.
const maxTestEvents = 500

type testEventRow struct {
	FunctionID int64  `gorm:"primaryKey;autoIncrement:false"`
	Name       string `gorm:"primaryKey"`
	Body       []byte
	ByName     string
	At         time.Time
}

func (testEventRow) TableName() string { return "test_events" }

// TestEvents are the saved events of a function by name.
func (s *Store) TestEvents(ctx context.Context, function string) ([]lambda.TestEvent, error) {
	var rows []testEventRow
	err := s.read(ctx, "list test events", func(db *gorm.DB) error {
		id, err := functionID(db, function)
		if err != nil {
			return err
		}
		return db.Where("function_id = ?", id).Order("name").Limit(maxTestEvents).Find(&rows).Error
	})
	return mapTo(rows, func(r *testEventRow) lambda.TestEvent {
		return lambda.TestEvent{Function: function, Name: r.Name, Body: r.Body, By: r.ByName, At: r.At}
	}), err
}

// PutTestEvent saves or replaces an event. TooLarge "events.count" past 500 of a function.
func (s *Store) PutTestEvent(ctx context.Context, by iam.Principal, e lambda.TestEvent) error {
	if err := e.Validate(); err != nil {
		return err
	}
	return s.edit(ctx, "save a test event", func(tx *gorm.DB) error {
		f, err := findFunction(tx, e.Function)
		if err != nil {
			return err
		}
		var others int64
		if err := tx.Model(&testEventRow{}).Where("function_id = ? AND name <> ?", f.ID, e.Name).Count(&others).Error; err != nil {
			return err
		}
		if others >= maxTestEvents {
			return lambda.E(lambda.TooLarge, "events.count", "max", "500")
		}
		row := testEventRow{FunctionID: f.ID, Name: e.Name, Body: e.Body, ByName: by.Name, At: micro(time.Now())}
		err = tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "function_id"}, {Name: "name"}},
			DoUpdates: clause.AssignmentColumns([]string{"body", "by_name", "at"})}).Create(&row).Error
		if err != nil {
			return err
		}
		return note(tx, by, "kiln:PutTestEvent", s.arns.Function(e.Function, ""), map[string]string{"event": e.Name})
	})
}

// DeleteTestEvent removes one; no error when there is none.
func (s *Store) DeleteTestEvent(ctx context.Context, by iam.Principal, function, name string) error {
	return s.edit(ctx, "delete a test event", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		gone := tx.Where("function_id = ? AND name = ?", id, clean(name)).Delete(&testEventRow{})
		if gone.Error != nil || gone.RowsAffected == 0 {
			return gone.Error
		}
		return note(tx, by, "kiln:DeleteTestEvent", s.arns.Function(function, ""), map[string]string{"event": name})
	})
}
