package store

import (
	"context"
	"strconv"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateAlias makes an alias. Conflict "alias.exists"; NotFound "version.missing" for a version that is not there.
func (s *Store) CreateAlias(ctx context.Context, by iam.Principal, a lambda.Alias) (*lambda.Alias, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	var made *lambda.Alias
	err := s.edit(ctx, "create an alias", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, a.Function)
		if err != nil {
			return err
		}
		row := aliasRow{FunctionID: f.ID, Name: a.Name}
		if err := row.take(tx, f, a); err != nil {
			return err
		}
		if err := tx.Create(&row).Error; isDuplicate(err) {
			return lambda.E(lambda.Conflict, "alias.exists", "name", a.Function, "alias", a.Name)
		} else if err != nil {
			return err
		}
		made = row.domain(a.Function)
		return note(tx, by, "lambda:CreateAlias", s.arns.Function(a.Function, a.Name), aliasDetail(made))
	})
	return made, err
}

// take gives the row the alias's values after checking that its versions exist.
func (r *aliasRow) take(tx *gorm.DB, f *functionRow, a lambda.Alias) error {
	if err := aliasVersions(tx, f, a); err != nil {
		return err
	}
	r.Version, r.Description = a.Version, clean(a.Description)
	r.Weights = jsonColumn[map[string]float64]{a.Weights}
	r.RevisionID, r.UpdatedAt = newUUID(), micro(time.Now())
	return nil
}

func aliasVersions(tx *gorm.DB, f *functionRow, a lambda.Alias) error {
	versions := []string{a.Version}
	for v := range a.Weights {
		versions = append(versions, v)
	}
	for _, v := range versions {
		if v == lambda.Latest {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return lambda.E(lambda.NotFound, "version.missing", "name", f.Name, "version", v)
		}
		if _, err := findVersion(tx, f, n); err != nil {
			return err
		}
	}
	return nil
}

func aliasDetail(a *lambda.Alias) map[string]string {
	detail := map[string]string{"version": a.Version}
	for v, share := range a.Weights {
		detail["weight"] = v + " " + strconv.FormatFloat(share, 'g', -1, 64)
	}
	return detail
}

// Alias is NotFound "function.missing" or "alias.missing" when there is none.
func (s *Store) Alias(ctx context.Context, function, name string) (*lambda.Alias, error) {
	var a *lambda.Alias
	err := s.read(ctx, "read an alias", func(db *gorm.DB) error {
		f, err := findFunction(db, function)
		if err != nil {
			return err
		}
		row, err := findAlias(db, f, name)
		if err != nil {
			return err
		}
		a = row.domain(function)
		return nil
	})
	return a, err
}

// Aliases is one page in name order; version "" is all, else only those that point at it. limit ≤ 1,000, 0 means 50.
func (s *Store) Aliases(ctx context.Context, function, version, after string, limit int) ([]*lambda.Alias, error) {
	var rows []aliasRow
	err := s.read(ctx, "list aliases", func(db *gorm.DB) error {
		id, err := functionID(db, function)
		if err != nil {
			return err
		}
		q := db.Where("function_id = ? AND name > ?", id, clean(after))
		if version != "" {
			q = q.Where("(version = ? OR jsonb_exists(weights, ?))", clean(version), clean(version))
		}
		return q.Order("name").Limit(bound(limit, 50, 1000)).Find(&rows).Error
	})
	return mapTo(rows, func(r *aliasRow) *lambda.Alias { return r.domain(function) }), err
}

// UpdateAlias moves or changes an alias. Precondition "revision.id", NotFound "version.missing".
func (s *Store) UpdateAlias(ctx context.Context, by iam.Principal, function, name string, u lambda.AliasUpdate) (*lambda.Alias, error) {
	var after *lambda.Alias
	err := s.edit(ctx, "update an alias", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, function)
		if err != nil {
			return err
		}
		row, err := findAlias(tx.Clauses(clause.Locking{Strength: "UPDATE"}), f, name)
		if err != nil {
			return err
		}
		if u.RevisionID != "" && u.RevisionID != row.RevisionID {
			return lambda.E(lambda.Precondition, "revision.id", "name", function)
		}
		a := u.Apply(*row.domain(function))
		if err := a.Validate(); err != nil {
			return err
		}
		old := row.RevisionID
		if err := row.take(tx, f, a); err != nil {
			return err
		}
		err = tx.Table("aliases").Where("function_id = ? AND name = ? AND revision_id = ?", f.ID, row.Name, old).Updates(map[string]any{
			"version": row.Version, "weights": row.Weights, "description": row.Description, "revision_id": row.RevisionID, "updated_at": row.UpdatedAt}).Error
		if err != nil {
			return err
		}
		after = row.domain(function)
		return note(tx, by, "lambda:UpdateAlias", s.arns.Function(function, name), aliasDetail(after))
	})
	return after, err
}

// DeleteAlias removes an alias with its URL, policy and event configuration; no error when there is none.
func (s *Store) DeleteAlias(ctx context.Context, by iam.Principal, function, name string) error {
	return s.edit(ctx, "delete an alias", func(tx *gorm.DB) error {
		f, err := lockFunction(tx, function)
		if err != nil {
			return err
		}
		gone := tx.Where("function_id = ? AND name = ?", f.ID, clean(name)).Delete(&aliasRow{})
		if gone.Error != nil || gone.RowsAffected == 0 {
			return gone.Error
		}
		if err := deleteQualifier(tx, f.ID, name); err != nil {
			return err
		}
		return note(tx, by, "lambda:DeleteAlias", s.arns.Function(function, name), nil)
	})
}

// qualified checks that a qualifier names $LATEST, a version or an alias of the function; "" is always right.
func qualified(db *gorm.DB, f *functionRow, qualifier string) error {
	if qualifier == "" || qualifier == lambda.Latest {
		return nil
	}
	if n, err := strconv.ParseInt(qualifier, 10, 64); err == nil {
		_, err := findVersion(db, f, n)
		return err
	}
	_, err := findAlias(db, f, qualifier)
	return err
}
