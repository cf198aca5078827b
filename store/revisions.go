package store

import (
	"context"
	"strconv"
	"time"

	"kiln/lambda"

	"gorm.io/gorm"
)

// Revisions is one page, newest first; before 0 starts at the newest. limit ≤ 200. Environments are opened.
func (s *Store) Revisions(ctx context.Context, name string, before int64, limit int) ([]*lambda.Revision, error) {
	var all []*lambda.Revision
	err := s.read(ctx, "list revisions", func(db *gorm.DB) error {
		id, err := functionID(db, name)
		if err != nil {
			return err
		}
		q := db.Where("function_id = ?", id)
		if before > 0 {
			q = q.Where("number < ?", before)
		}
		var rows []revisionRow
		if err := q.Order("number DESC").Limit(bound(limit, 50, 200)).Find(&rows).Error; err != nil {
			return err
		}
		all, err = s.revisions(name, rows)
		return err
	})
	return all, err
}

func (s *Store) revisions(name string, rows []revisionRow) ([]*lambda.Revision, error) {
	all := make([]*lambda.Revision, len(rows))
	for i := range rows {
		var err error
		if all[i], err = s.revision(name, &rows[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (s *Store) revision(name string, r *revisionRow) (*lambda.Revision, error) {
	env, err := s.openEnv(r.FunctionID, r.Config.Env)
	if err != nil {
		return nil, err
	}
	d := r.closedDomain(name)
	d.Config.Env = env
	return d, nil
}

func findRevision(db *gorm.DB, f *functionRow, number int64) (*revisionRow, error) {
	var r revisionRow
	err := db.Where("function_id = ? AND number = ?", f.ID, number).Take(&r).Error
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "revision.missing", "name", f.Name, "number", strconv.FormatInt(number, 10))
	}
	return &r, err
}

// Revision is one of them; environment opened. NotFound "function.missing", "revision.missing".
func (s *Store) Revision(ctx context.Context, name string, number int64) (*lambda.Revision, error) {
	var d *lambda.Revision
	err := s.read(ctx, "read a revision", func(db *gorm.DB) error {
		f, err := findFunction(db, name)
		if err != nil {
			return err
		}
		r, err := findRevision(db, f, number)
		if err != nil {
			return err
		}
		d, err = s.revision(name, r)
		return err
	})
	return d, err
}

// RecentRevisions is the newest of all functions since from, for Home; without environments.
func (s *Store) RecentRevisions(ctx context.Context, from time.Time, limit int) ([]*lambda.Revision, error) {
	var rows []struct {
		Revision revisionRow `gorm:"embedded"`
		Name     string
	}
	err := s.read(ctx, "list recent revisions", func(db *gorm.DB) error {
		return db.Table("revisions").Select("revisions.*, f.name").Joins("JOIN functions f ON f.id = function_id").
			Where("at >= ?", from).Order("at DESC").Limit(bound(limit, 50, 200)).Find(&rows).Error
	})
	all := make([]*lambda.Revision, len(rows))
	for i := range rows {
		all[i] = rows[i].Revision.closedDomain(rows[i].Name)
	}
	return all, err
}
