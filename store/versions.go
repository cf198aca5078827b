package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
)

// PublishVersion makes the next version of $LATEST. When neither code nor configuration changed since the last version, it answers that one.
// Invalid "version.code", Precondition "revision.id".
func (s *Store) PublishVersion(ctx context.Context, by iam.Principal, name string, p lambda.Publication) (*lambda.Version, error) {
	var v *lambda.Version
	err := s.edit(ctx, "publish a version", func(tx *gorm.DB) (err error) {
		v, err = s.publishVersion(tx, by, name, p)
		return err
	})
	return v, err
}

func (s *Store) publishVersion(tx *gorm.DB, by iam.Principal, name string, p lambda.Publication) (*lambda.Version, error) {
	f, err := lockFunction(tx, name)
	if err != nil {
		return nil, err
	}
	if err := f.stillAt(0, p.RevisionID); err != nil {
		return nil, err
	}
	if p.CodeSHA256 != "" && p.CodeSHA256 != f.Config.CodeSHA256 {
		return nil, lambda.E(lambda.Invalid, "version.code", "given", p.CodeSHA256, "current", f.Config.CodeSHA256)
	}
	if same, err := s.sameVersion(tx, f); err != nil || same != nil {
		return same, err
	}
	c, err := s.config(f.ID, &f.Config)
	if err != nil {
		return nil, err
	}
	row := versionRow{FunctionID: f.ID, Number: f.LastVersion + 1, Config: f.Config, VersionDescription: clean(p.Description),
		RevisionID: newUUID(), ByName: by.Name, At: micro(time.Now())}
	if p.Description == "" {
		row.VersionDescription = f.Config.Description
	}
	label := strconv.FormatInt(row.Number, 10)
	row.Digest = string(s.digest(f.ID, label, c, f.Config.code(), f.Config.LayerCode.v))
	if err := tx.Create(&row).Error; err != nil {
		return nil, err
	}
	if err := tx.Table("functions").Where("id = ?", f.ID).Update("last_version", row.Number).Error; err != nil {
		return nil, err
	}
	if err := keepRunnable(tx, f.ID, lambda.Digest(row.Digest), label, row.Config); err != nil {
		return nil, err
	}
	detail := map[string]string{"version": label, "revision": fmt.Sprintf("r%d", f.Revision)}
	if err := note(tx, by, "lambda:PublishVersion", s.arns.Function(name, label), detail); err != nil {
		return nil, err
	}
	return s.version(f, &row)
}

// sameVersion is the last version when $LATEST is still as it was then.
func (s *Store) sameVersion(tx *gorm.DB, f *functionRow) (*lambda.Version, error) {
	v, err := findVersion(tx, f, f.LastVersion)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	then, err := s.config(f.ID, &v.Config)
	if err != nil {
		return nil, err
	}
	now, err := s.config(f.ID, &f.Config)
	if err != nil {
		return nil, err
	}
	same := s.digest(f.ID, "", then, v.Config.code(), v.Config.LayerCode.v) == s.digest(f.ID, "", now, f.Config.code(), f.Config.LayerCode.v)
	if !same || then.Description != now.Description || then.DeadLetter != now.DeadLetter {
		return nil, nil
	}
	return s.version(f, v)
}

// Version is one published version. NotFound "function.missing", "version.missing".
func (s *Store) Version(ctx context.Context, name string, number int64) (*lambda.Version, error) {
	var v *lambda.Version
	err := s.read(ctx, "read a version", func(db *gorm.DB) error {
		f, err := findFunction(db, name)
		if err != nil {
			return err
		}
		row, err := findVersion(db, f, number)
		if err != nil {
			return err
		}
		v, err = s.version(f, row)
		return err
	})
	return v, err
}

// Versions is one page in the order of their numbers, after one. limit ≤ 1,000, 0 means 50.
func (s *Store) Versions(ctx context.Context, name string, after int64, limit int) ([]*lambda.Version, error) {
	var all []*lambda.Version
	err := s.read(ctx, "list versions", func(db *gorm.DB) error {
		f, err := findFunction(db, name)
		if err != nil {
			return err
		}
		var rows []versionRow
		err = db.Where("function_id = ? AND number > ?", f.ID, after).Order("number").Limit(bound(limit, 50, 1000)).Find(&rows).Error
		if err != nil {
			return err
		}
		all = make([]*lambda.Version, len(rows))
		for i := range rows {
			if all[i], err = s.version(f, &rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// DeleteVersion removes a version; no error when there is none. Conflict "version.used" while an alias points at it.
func (s *Store) DeleteVersion(ctx context.Context, by iam.Principal, name string, number int64) error {
	return s.edit(ctx, "delete a version", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, name)
		if err != nil {
			return err
		}
		label := strconv.FormatInt(number, 10)
		var users []string
		err = tx.Raw("SELECT name FROM aliases WHERE function_id = ? AND (version = ? OR jsonb_exists(weights, ?)) ORDER BY name LIMIT 10", f.ID, label, label).Scan(&users).Error
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return lambda.E(lambda.Conflict, "version.used", "version", label, "aliases", strings.Join(users, ", "))
		}
		gone := tx.Where("function_id = ? AND number = ?", f.ID, number).Delete(&versionRow{})
		if gone.Error != nil || gone.RowsAffected == 0 {
			return gone.Error
		}
		if err := deleteQualifier(tx, f.ID, label); err != nil {
			return err
		}
		return note(tx, by, "lambda:DeleteFunction", s.arns.Function(name, label), nil)
	})
}

// deleteQualifier removes what hangs on a version or an alias.
func deleteQualifier(tx *gorm.DB, function int64, qualifier string) error {
	for _, table := range []string{"event_invoke_configs", "url_configs", "policies", "documents"} {
		if err := tx.Exec("DELETE FROM "+table+" WHERE function_id = ? AND qualifier = ?", function, qualifier).Error; err != nil {
			return err
		}
	}
	return nil
}
