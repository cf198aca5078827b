package store

import (
	"context"
	"encoding/json"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type documentRow struct {
	Kind       string `gorm:"primaryKey"`
	ID         string `gorm:"primaryKey"`
	FunctionID *int64
	Qualifier  string
	Body       jsonColumn[json.RawMessage]
	UpdatedAt  time.Time `gorm:"autoUpdateTime:false"`
	Function   string    `gorm:"->"` // joined
}

func (documentRow) TableName() string { return "documents" }

func (r *documentRow) domain() lambda.Document {
	return lambda.Document{Kind: r.Kind, ID: r.ID, Function: r.Function, Qualifier: r.Qualifier, Body: r.Body.v, UpdatedAt: r.UpdatedAt}
}

// PutDocument makes or replaces a document and audits it as action. A document with a function goes with it.
func (s *Store) PutDocument(ctx context.Context, by iam.Principal, action string, d lambda.Document) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return s.edit(ctx, "keep a document", func(tx *gorm.DB) error {
		row := documentRow{Kind: clean(d.Kind), ID: clean(d.ID), Qualifier: clean(d.Qualifier), Body: jsonColumn[json.RawMessage]{d.Body}, UpdatedAt: micro(time.Now())}
		resource := d.ID
		if d.Function != "" {
			id, err := functionID(tx, d.Function)
			if err != nil {
				return err
			}
			row.FunctionID, resource = &id, s.arns.Function(d.Function, d.Qualifier)
		}
		err := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "kind"}, {Name: "id"}},
			DoUpdates: clause.AssignmentColumns([]string{"function_id", "qualifier", "body", "updated_at"})}).Create(&row).Error
		if err != nil {
			return err
		}
		return note(tx, by, action, resource, map[string]string{"kind": d.Kind})
	})
}

func documents(db *gorm.DB) *gorm.DB {
	return db.Table("documents d").Select("d.*, coalesce(f.name, '') AS function").Joins("LEFT JOIN functions f ON f.id = d.function_id")
}

// Document is NotFound "document.missing" when there is none.
func (s *Store) Document(ctx context.Context, kind, id string) (*lambda.Document, error) {
	var rows []documentRow
	err := s.read(ctx, "read a document", func(db *gorm.DB) error {
		return documents(db).Where("d.kind = ? AND d.id = ?", clean(kind), clean(id)).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, lambda.E(lambda.NotFound, "document.missing", "kind", kind, "id", id)
	}
	d := rows[0].domain()
	return &d, nil
}

// Documents is one page of a kind in the order of ids; function "" is all. limit ≤ 1,000, 0 means 50.
func (s *Store) Documents(ctx context.Context, kind, function, after string, limit int) ([]lambda.Document, error) {
	var rows []documentRow
	err := s.read(ctx, "list documents", func(db *gorm.DB) error {
		q := documents(db).Where("d.kind = ? AND d.id > ?", clean(kind), clean(after))
		if function != "" {
			id, err := functionID(db, function)
			if err != nil {
				return err
			}
			q = q.Where("d.function_id = ?", id)
		}
		return q.Order("d.id").Limit(bound(limit, 50, 1000)).Find(&rows).Error
	})
	return mapTo(rows, (*documentRow).domain), err
}

// DeleteDocument removes one. NotFound "document.missing".
func (s *Store) DeleteDocument(ctx context.Context, by iam.Principal, action, kind, id string) error {
	return s.edit(ctx, "delete a document", func(tx *gorm.DB) error {
		gone := tx.Exec("DELETE FROM documents WHERE kind = ? AND id = ?", clean(kind), clean(id))
		if gone.Error != nil {
			return gone.Error
		}
		if gone.RowsAffected == 0 {
			return lambda.E(lambda.NotFound, "document.missing", "kind", kind, "id", id)
		}
		return note(tx, by, action, id, map[string]string{"kind": kind})
	})
}
