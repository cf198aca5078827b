package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type settingRow struct {
	Name      string `gorm:"primaryKey"`
	Value     jsonColumn[json.RawMessage]
	UpdatedAt time.Time `gorm:"autoUpdateTime:false"`
	UpdatedBy string
}

func (settingRow) TableName() string { return "settings" }

// Setting reads an account setting, JSON by name, into what into points at; into stays as it is when the setting was never kept.
// "concurrency" is a number; "retention" a lambda.Retention; "prices" a lambda.Prices.
func (s *Store) Setting(ctx context.Context, name string, into any) error {
	return s.read(ctx, "read a setting", func(db *gorm.DB) error { return readSetting(db, name, into) })
}

func readSetting(db *gorm.DB, name string, into any) error {
	var row settingRow
	err := db.Where("name = ?", name).Take(&row).Error
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(row.Value.v, into); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// SetSetting keeps one setting and audits it. Invalid "setting.concurrency" when the limit would fall below what is reserved.
func (s *Store) SetSetting(ctx context.Context, by iam.Principal, name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return s.edit(ctx, "keep a setting", func(tx *gorm.DB) error {
		if name == "concurrency" {
			if err := checkConcurrency(tx, b); err != nil {
				return err
			}
		}
		row := settingRow{Name: name, Value: jsonColumn[json.RawMessage]{b}, UpdatedAt: micro(time.Now()), UpdatedBy: by.Name}
		err := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"value", "updated_at", "updated_by"})}).
			Create(&row).Error
		if err != nil {
			return err
		}
		return note(tx, by, "kiln:SetSetting", "setting/"+name, map[string]string{"value": string(b)})
	})
}

func checkConcurrency(tx *gorm.DB, b []byte) error {
	var want, reserved int
	if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", reservedLock).Error; err != nil {
		return err
	}
	if err := tx.Raw("SELECT coalesce(sum(reserved), 0) FROM functions").Scan(&reserved).Error; err != nil {
		return err
	}
	least := reserved + lambda.MinUnreserved
	if err := json.Unmarshal(b, &want); err != nil || want < least {
		return lambda.E(lambda.Invalid, "setting.concurrency", "min", fmt.Sprint(least))
	}
	return nil
}

// Concurrency is the account's concurrency limit and the sum of what functions have reserved of it.
func (s *Store) Concurrency(ctx context.Context) (limit, reserved int, err error) {
	limit = lambda.DefaultConcurrency
	err = s.read(ctx, "read the concurrency limit", func(db *gorm.DB) error {
		if err := readSetting(db, "concurrency", &limit); err != nil {
			return err
		}
		return db.Raw("SELECT coalesce(sum(reserved), 0) FROM functions").Scan(&reserved).Error
	})
	return limit, reserved, err
}
