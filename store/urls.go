package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
)

type urlRow struct {
	ID         string `gorm:"primaryKey"`
	FunctionID int64
	Qualifier  string
	AuthType   string
	InvokeMode string
	CORS       jsonColumn[*lambda.CORS] `gorm:"column:cors"`
	CreatedAt  time.Time                `gorm:"autoCreateTime:false"`
	UpdatedAt  time.Time                `gorm:"autoUpdateTime:false"`
}

func (urlRow) TableName() string { return "url_configs" }

func (r *urlRow) domain(function string) *lambda.URLConfig {
	return &lambda.URLConfig{Function: function, Qualifier: r.Qualifier, ID: r.ID, AuthType: r.AuthType, InvokeMode: r.InvokeMode, CORS: r.CORS.v,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

// newURLID is 32 lower-case letters and digits: a host label that nobody guesses.
func newURLID() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

func urlMissing() error { return lambda.E(lambda.NotFound, "url.missing") }

// CreateURL makes a function URL; its ID is chosen here. Conflict "url.exists"; NotFound "alias.missing".
func (s *Store) CreateURL(ctx context.Context, by iam.Principal, c lambda.URLConfig) (*lambda.URLConfig, error) {
	if c.InvokeMode == "" {
		c.InvokeMode = "BUFFERED"
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var made *lambda.URLConfig
	err := s.edit(ctx, "create a function URL", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, c.Function)
		if err != nil {
			return err
		}
		if err := qualified(tx, f, c.Qualifier); err != nil {
			return err
		}
		now := micro(time.Now())
		row := urlRow{ID: newURLID(), FunctionID: f.ID, Qualifier: c.Qualifier, AuthType: c.AuthType, InvokeMode: c.InvokeMode,
			CORS: jsonColumn[*lambda.CORS]{c.CORS}, CreatedAt: now, UpdatedAt: now}
		if err := tx.Create(&row).Error; isDuplicate(err) {
			return lambda.E(lambda.Conflict, "url.exists", "arn", s.arns.Function(c.Function, c.Qualifier))
		} else if err != nil {
			return err
		}
		made = row.domain(c.Function)
		return note(tx, by, "lambda:CreateFunctionUrlConfig", s.arns.Function(c.Function, c.Qualifier), map[string]string{"authType": c.AuthType})
	})
	return made, err
}

// URL is NotFound "url.missing" when the qualifier ("" for the function itself) has none.
func (s *Store) URL(ctx context.Context, function, qualifier string) (*lambda.URLConfig, error) {
	var c *lambda.URLConfig
	err := s.read(ctx, "read a function URL", func(db *gorm.DB) error {
		row, err := findURL(db, function, qualifier)
		if err != nil {
			return err
		}
		c = row.domain(function)
		return nil
	})
	return c, err
}

func findURL(db *gorm.DB, function, qualifier string) (*urlRow, error) {
	id, err := functionID(db, function)
	if err != nil {
		return nil, err
	}
	var row urlRow
	err = db.Where("function_id = ? AND qualifier = ?", id, clean(qualifier)).Take(&row).Error
	if isMissing(err) {
		return nil, urlMissing()
	}
	return &row, err
}

// URLByID finds the function URL of a host's first label. NotFound "url.missing".
func (s *Store) URLByID(ctx context.Context, id string) (*lambda.URLConfig, error) {
	var row urlRow
	var function string
	err := s.read(ctx, "find a function URL", func(db *gorm.DB) error {
		err := db.Where("id = ?", clean(id)).Take(&row).Error
		if isMissing(err) {
			return urlMissing()
		}
		if err != nil {
			return err
		}
		return db.Raw("SELECT name FROM functions WHERE id = ?", row.FunctionID).Scan(&function).Error
	})
	if err != nil {
		return nil, err
	}
	return row.domain(function), nil
}

// URLs is one page of a function's, in the order of qualifiers. limit ≤ 1,000, 0 means 50.
func (s *Store) URLs(ctx context.Context, function, after string, limit int) ([]*lambda.URLConfig, error) {
	var rows []urlRow
	err := s.read(ctx, "list function URLs", func(db *gorm.DB) error {
		id, err := functionID(db, function)
		if err != nil {
			return err
		}
		q := db.Where("function_id = ?", id)
		if after != "" {
			q = q.Where("qualifier > ?", clean(after))
		}
		return q.Order("qualifier").Limit(bound(limit, 50, 1000)).Find(&rows).Error
	})
	return mapTo(rows, func(r *urlRow) *lambda.URLConfig { return r.domain(function) }), err
}

// UpdateURL changes parts of a function URL. NotFound "url.missing".
func (s *Store) UpdateURL(ctx context.Context, by iam.Principal, function, qualifier string, u lambda.URLUpdate) (*lambda.URLConfig, error) {
	var after lambda.URLConfig
	err := s.edit(ctx, "update a function URL", func(tx *gorm.DB) error {
		if _, err := lockFunction(tx, function); err != nil {
			return err
		}
		row, err := findURL(tx, function, qualifier)
		if err != nil {
			return err
		}
		after = u.Apply(*row.domain(function))
		if err := after.Validate(); err != nil {
			return err
		}
		after.UpdatedAt = micro(time.Now())
		err = tx.Table("url_configs").Where("id = ?", row.ID).Updates(map[string]any{"auth_type": after.AuthType, "invoke_mode": after.InvokeMode,
			"cors": jsonColumn[*lambda.CORS]{after.CORS}, "updated_at": after.UpdatedAt}).Error
		if err != nil {
			return err
		}
		return note(tx, by, "lambda:UpdateFunctionUrlConfig", s.arns.Function(function, qualifier), map[string]string{"authType": after.AuthType})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}

// DeleteURL removes one. NotFound "url.missing".
func (s *Store) DeleteURL(ctx context.Context, by iam.Principal, function, qualifier string) error {
	return s.edit(ctx, "delete a function URL", func(tx *gorm.DB) error {
		row, err := findURL(tx, function, qualifier)
		if err != nil {
			return err
		}
		if err := tx.Where("id = ?", row.ID).Delete(&urlRow{}).Error; err != nil {
			return err
		}
		return note(tx, by, "lambda:DeleteFunctionUrlConfig", s.arns.Function(function, qualifier), nil)
	})
}
