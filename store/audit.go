package store

import (
	"context"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
)

type auditRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement"`
	At          time.Time
	ByName      string
	ByARN       string `gorm:"column:by_arn"`
	FromAddress string
	Action      string
	Resource    string
	Denied      bool
	Detail      textMap
}

func (auditRow) TableName() string { return "audit" }

func (r *auditRow) domain() lambda.AuditEntry {
	return lambda.AuditEntry{ID: r.ID, At: r.At, By: r.ByName, ByARN: r.ByARN, From: r.FromAddress, Action: r.Action,
		Resource: r.Resource, Denied: r.Denied, Detail: r.Detail}
}

// note writes the audit row of a change in the change's own transaction. detail is for everybody who reads the audit: names, never secret values.
func note(tx *gorm.DB, by iam.Principal, action, resource string, detail map[string]string) error {
	return tx.Create(&auditRow{At: time.Now(), ByName: by.Name, ByARN: by.ARN, FromAddress: by.From, Action: action,
		Resource: resource, Detail: detail}).Error
}

// AuditRefusal keeps a refusal; changes are kept by the writes themselves.
func (s *Store) AuditRefusal(ctx context.Context, e lambda.AuditEntry) error {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	return s.read(ctx, "keep a refusal", func(db *gorm.DB) error {
		return db.Create(&auditRow{At: e.At, ByName: clean(e.By), ByARN: clean(e.ByARN), FromAddress: clean(e.From), Action: clean(e.Action),
			Resource: clean(e.Resource), Denied: true, Detail: cleanMap(e.Detail)}).Error
	})
}

// Audit is one page, newest first; before 0 starts at the newest. limit ≤ 500, 0 means 50.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]lambda.AuditEntry, error) {
	return s.AuditPage(ctx, AuditFilter{Before: before, Limit: limit})
}

// AuditFilter chooses audit entries, newest first.
type AuditFilter struct {
	By       string    // display name or ARN
	Action   string    // beginning of the action
	Resource string    // ARN
	Refusals bool      // only refusals
	From, To time.Time // To is exclusive; zero for open
	Before   int64     // page key: ids below; 0 starts at the newest
	Limit    int       // at most 500; 0 means 50
}

// AuditPage is one page of the audit by filter.
func (s *Store) AuditPage(ctx context.Context, f AuditFilter) ([]lambda.AuditEntry, error) {
	var rows []auditRow
	err := s.read(ctx, "read the audit", func(db *gorm.DB) error {
		return f.where(db).Order("id DESC").Limit(bound(f.Limit, 50, 500)).Find(&rows).Error
	})
	return mapTo(rows, (*auditRow).domain), err
}

func (f *AuditFilter) where(q *gorm.DB) *gorm.DB {
	if f.Before > 0 {
		q = q.Where("id < ?", f.Before)
	}
	if f.By != "" {
		q = q.Where("(by_name = ? OR by_arn = ?)", clean(f.By), clean(f.By))
	}
	if f.Action != "" {
		q = q.Where("starts_with(action, ?)", clean(f.Action))
	}
	if f.Resource != "" {
		q = q.Where("resource = ?", clean(f.Resource))
	}
	if f.Refusals {
		q = q.Where("denied")
	}
	if !f.From.IsZero() {
		q = q.Where("at >= ?", f.From)
	}
	if !f.To.IsZero() {
		q = q.Where("at < ?", f.To)
	}
	return q
}
