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
	"gorm.io/gorm/clause"
)

// reservedLock serialises changes of reserved concurrency: their sum is checked across functions.
const reservedLock = 0x6b696c72

// CreateFunction makes a function and its revision 1. Conflict "function.exists"; NotFound "code.missing"; Invalid "layer.missing".
func (s *Store) CreateFunction(ctx context.Context, by iam.Principal, n lambda.NewFunction) (*lambda.Function, error) {
	n.Config = n.WithDefaults()
	if err := n.Validate(); err != nil {
		return nil, err
	}
	var made *lambda.Function
	err := s.edit(ctx, "create a function", func(tx *gorm.DB) (err error) {
		made, err = s.createFunction(tx, by, n)
		return err
	})
	return made, err
}

func (s *Store) createFunction(tx *gorm.DB, by iam.Principal, n lambda.NewFunction) (*lambda.Function, error) {
	var id int64
	if err := tx.Raw("SELECT nextval(pg_get_serial_sequence('functions', 'id'))").Scan(&id).Error; err != nil {
		return nil, err
	}
	code, err := keptCode(tx, n.Code.SHA256)
	if err != nil {
		return nil, err
	}
	layers, err := s.layerCode(tx, n.Layers)
	if err != nil {
		return nil, err
	}
	c, err := s.configRowOf(id, n.Config, code, layers)
	if err != nil {
		return nil, err
	}
	now := micro(time.Now())
	row := functionRow{ID: id, Name: n.Name, Config: c, Revision: 1, RevisionID: newUUID(), Tags: n.Tags,
		Digest: string(s.digest(id, lambda.Latest, n.Config, code, layers)), CreatedAt: now, UpdatedAt: now, UpdatedBy: by.Name}
	if err := tx.Create(&row).Error; isDuplicate(err) {
		return nil, lambda.E(lambda.Conflict, "function.exists", "name", n.Name)
	} else if err != nil {
		return nil, err
	}
	if err := tx.Exec("INSERT INTO function_names (id, name) VALUES (?, ?)", id, n.Name).Error; err != nil {
		return nil, err
	}
	if err := keepRevision(tx, &row, lambda.RevisionCreated, 0); err != nil {
		return nil, err
	}
	err = note(tx, by, "lambda:CreateFunction", s.arns.Function(n.Name, ""), changes(lambda.Config{}, n.Config, "", code.SHA256))
	if err != nil {
		return nil, err
	}
	return s.function(&row)
}

// keepRevision writes the function's present state into its history and among the runnables.
func keepRevision(tx *gorm.DB, f *functionRow, cause string, from int64) error {
	r := revisionRow{FunctionID: f.ID, Number: f.Revision, Cause: cause, Config: f.Config, ByName: f.UpdatedBy, At: f.UpdatedAt, FromNumber: from}
	if err := tx.Create(&r).Error; err != nil {
		return err
	}
	return keepRunnable(tx, f.ID, lambda.Digest(f.Digest), lambda.Latest, f.Config)
}

func keepRunnable(tx *gorm.DB, function int64, d lambda.Digest, label string, c configRow) error {
	r := runnableRow{Digest: string(d), FunctionID: function, Version: label, Config: c, MadeAt: time.Now()}
	return tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "digest"}}, DoUpdates: clause.AssignmentColumns([]string{"made_at"})}).Create(&r).Error
}

// Function is NotFound "function.missing" when there is none.
func (s *Store) Function(ctx context.Context, name string) (*lambda.Function, error) {
	var f *lambda.Function
	err := s.read(ctx, "read a function", func(db *gorm.DB) error {
		row, err := findFunction(db, name)
		if err != nil {
			return err
		}
		f, err = s.function(row)
		return err
	})
	return f, err
}

// FunctionByID is NotFound "function.missing" when there is none.
func (s *Store) FunctionByID(ctx context.Context, id int64) (*lambda.Function, error) {
	var f *lambda.Function
	err := s.read(ctx, "read a function", func(db *gorm.DB) error {
		var row functionRow
		if err := db.Where("id = ?", id).Take(&row).Error; isMissing(err) {
			return lambda.E(lambda.NotFound, "function.missing", "name", strconv.FormatInt(id, 10))
		} else if err != nil {
			return err
		}
		var err error
		f, err = s.function(&row)
		return err
	})
	return f, err
}

func findFunction(db *gorm.DB, name string) (*functionRow, error) {
	var row functionRow
	err := db.Where("name = ?", clean(name)).Take(&row).Error
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "function.missing", "name", name)
	}
	return &row, err
}

// lockFunction holds the function's row until the transaction ends.
func lockFunction(tx *gorm.DB, name string) (*functionRow, error) {
	return findFunction(tx.Clauses(clause.Locking{Strength: "UPDATE"}), name)
}

func functionID(db *gorm.DB, name string) (int64, error) {
	var ids []int64
	if err := db.Raw("SELECT id FROM functions WHERE name = ?", clean(name)).Scan(&ids).Error; err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return 0, lambda.E(lambda.NotFound, "function.missing", "name", name)
	}
	return ids[0], nil
}

// Functions is one page in name order.
func (s *Store) Functions(ctx context.Context, f lambda.FunctionFilter) ([]*lambda.Function, error) {
	var rows []functionRow
	err := s.read(ctx, "list functions", func(db *gorm.DB) error {
		q := db.Order("name").Limit(bound(f.Limit, 50, 1000))
		if f.After != "" {
			q = q.Where("name > ?", clean(f.After))
		}
		if f.Query != "" {
			like := "%" + escapeLike(clean(f.Query)) + "%"
			q = q.Where("(name ILIKE ? OR description ILIKE ?)", like, like)
		}
		return q.Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	all := make([]*lambda.Function, len(rows))
	for i := range rows {
		if all[i], err = s.function(&rows[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// CountFunctions is the number of functions.
func (s *Store) CountFunctions(ctx context.Context) (int, error) {
	var n int
	err := s.read(ctx, "count functions", func(db *gorm.DB) error {
		return db.Raw("SELECT count(*) FROM functions").Scan(&n).Error
	})
	return n, err
}

// UpdateFunction applies u when the function's revision is still the one named (0 skips the check); Conflict "function.changed" otherwise,
// Precondition "revision.id" when u.RevisionID is not the current one.
func (s *Store) UpdateFunction(ctx context.Context, by iam.Principal, name string, revision int64, u lambda.FunctionUpdate) (*lambda.Function, error) {
	var after *lambda.Function
	err := s.edit(ctx, "update a function", func(tx *gorm.DB) (err error) {
		after, err = s.updateFunction(tx, by, name, revision, u)
		return err
	})
	return after, err
}

func (s *Store) updateFunction(tx *gorm.DB, by iam.Principal, name string, revision int64, u lambda.FunctionUpdate) (*lambda.Function, error) {
	row, err := lockFunction(tx, name)
	if err != nil {
		return nil, err
	}
	if err := row.stillAt(revision, u.RevisionID); err != nil {
		return nil, err
	}
	before, err := s.function(row)
	if err != nil {
		return nil, err
	}
	if err := s.validateUpdate(tx, before, &u); err != nil {
		return nil, err
	}
	if err := s.updateSides(tx, by, row, &u); err != nil {
		return nil, err
	}
	if u.ChangesRevision() {
		if err := s.updateRevision(tx, by, row, before, &u); err != nil {
			return nil, err
		}
	}
	return s.function(row)
}

// stillAt checks both optimistic locks.
func (r *functionRow) stillAt(revision int64, revisionID string) error {
	if revision != 0 && revision != r.Revision {
		return lambda.E(lambda.Conflict, "function.changed", "name", r.Name, "by", r.UpdatedBy, "revision", strconv.FormatInt(r.Revision, 10))
	}
	if revisionID != "" && revisionID != r.RevisionID {
		return lambda.E(lambda.Precondition, "revision.id", "name", r.Name)
	}
	return nil
}

func (s *Store) validateUpdate(tx *gorm.DB, before *lambda.Function, u *lambda.FunctionUpdate) error {
	account, elsewhere := lambda.DefaultConcurrency, 0
	if u.Reserved != nil {
		if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", reservedLock).Error; err != nil {
			return err
		}
		if err := readSetting(tx, "concurrency", &account); err != nil {
			return err
		}
		if err := tx.Raw("SELECT coalesce(sum(reserved), 0) FROM functions WHERE id <> ?", before.ID).Scan(&elsewhere).Error; err != nil {
			return err
		}
	}
	return u.Validate(before, account, elsewhere)
}

// updateSides changes what makes no revision.
func (s *Store) updateSides(tx *gorm.DB, by iam.Principal, row *functionRow, u *lambda.FunctionUpdate) error {
	arn := s.arns.Function(row.Name, "")
	if u.Tags != nil {
		row.Tags = *u.Tags
		if err := tx.Model(row).Where("id = ?", row.ID).Update("tags", row.Tags).Error; err != nil {
			return err
		}
		if err := note(tx, by, "lambda:TagResource", arn, map[string]string{"tags": strings.Join(sortedKeys(row.Tags), ", ")}); err != nil {
			return err
		}
	}
	if u.Reserved == nil {
		return nil
	}
	detail := map[string]string{"reserved": reservedText(row.Reserved) + " → " + reservedText(*u.Reserved)}
	row.Reserved = *u.Reserved
	if err := tx.Model(row).Where("id = ?", row.ID).Update("reserved", row.Reserved).Error; err != nil {
		return err
	}
	action := "lambda:PutFunctionConcurrency"
	if row.Reserved == nil {
		action = "lambda:DeleteFunctionConcurrency"
	}
	return note(tx, by, action, arn, detail)
}

func reservedText(n *int) string {
	if n == nil {
		return "none"
	}
	return strconv.Itoa(*n)
}

func (s *Store) updateRevision(tx *gorm.DB, by iam.Principal, row *functionRow, before *lambda.Function, u *lambda.FunctionUpdate) error {
	after, code, layers := u.Apply(before.Config), before.Code, row.Config.LayerCode.v
	var err error
	cause, action := lambda.RevisionConfigured, "lambda:UpdateFunctionConfiguration"
	if u.Code != nil {
		cause, action = lambda.RevisionDeployed, "lambda:UpdateFunctionCode"
		if code, err = keptCode(tx, u.Code.SHA256); err != nil {
			return err
		}
	}
	if u.Layers != nil {
		if layers, err = s.layerCode(tx, *u.Layers); err != nil {
			return err
		}
	}
	if err := s.replace(tx, by, row, after, code, layers, cause, 0); err != nil {
		return err
	}
	if u.Note != "" {
		if err := tx.Model(&revisionRow{}).Where("function_id = ? AND number = ?", row.ID, row.Revision).Update("note", u.Note).Error; err != nil {
			return err
		}
	}
	detail := changes(before.Config, after, before.Code.SHA256, code.SHA256)
	detail["revision"] = fmt.Sprintf("r%d", row.Revision)
	return note(tx, by, action, s.arns.Function(row.Name, ""), detail)
}

// replace gives the function a new state and keeps it as its next revision.
func (s *Store) replace(tx *gorm.DB, by iam.Principal, row *functionRow, c lambda.Config, code lambda.Code, layers []lambda.Code, cause string, from int64) error {
	config, err := s.configRowOf(row.ID, c, code, layers)
	if err != nil {
		return err
	}
	old := row.Revision
	row.Config, row.Revision, row.RevisionID = config, old+1, newUUID()
	row.UpdatedAt, row.UpdatedBy = micro(time.Now()), by.Name
	row.Digest = string(s.digest(row.ID, lambda.Latest, c, code, layers))
	columns := config.columns()
	columns["digest"], columns["revision"], columns["revision_id"] = row.Digest, row.Revision, row.RevisionID
	columns["updated_at"], columns["updated_by"] = row.UpdatedAt, row.UpdatedBy
	done := tx.Table("functions").Where("id = ? AND revision = ?", row.ID, old).Updates(columns)
	if done.Error != nil {
		return done.Error
	}
	if done.RowsAffected != 1 {
		return lambda.E(lambda.Conflict, "function.changed", "name", row.Name, "by", row.UpdatedBy, "revision", strconv.FormatInt(old, 10))
	}
	return keepRevision(tx, row, cause, from)
}

// RollBack makes a new revision with the code and configuration of revision `to`.
func (s *Store) RollBack(ctx context.Context, by iam.Principal, name string, revision, to int64) (*lambda.Function, error) {
	var after *lambda.Function
	err := s.edit(ctx, "roll a function back", func(tx *gorm.DB) (err error) {
		after, err = s.rollBack(tx, by, name, revision, to)
		return err
	})
	return after, err
}

func (s *Store) rollBack(tx *gorm.DB, by iam.Principal, name string, revision, to int64) (*lambda.Function, error) {
	row, err := lockFunction(tx, name)
	if err != nil {
		return nil, err
	}
	if err := row.stillAt(revision, ""); err != nil {
		return nil, err
	}
	old, err := findRevision(tx, row, to)
	if err != nil {
		return nil, err
	}
	c, err := s.config(row.ID, &old.Config)
	if err != nil {
		return nil, err
	}
	if err := s.replace(tx, by, row, c, old.Config.code(), old.Config.LayerCode.v, lambda.RevisionRolledBack, to); err != nil {
		return nil, err
	}
	detail := map[string]string{"revision": fmt.Sprintf("r%d", row.Revision), "from": fmt.Sprintf("r%d", to)}
	if err := note(tx, by, "kiln:RollBackFunction", s.arns.Function(name, ""), detail); err != nil {
		return nil, err
	}
	return s.function(row)
}

// DeleteFunction removes the function with versions, aliases, drafts, saved events, queue, dead letters and resource policy; history of runs
// ends with retention.
func (s *Store) DeleteFunction(ctx context.Context, by iam.Principal, name string) error {
	return s.edit(ctx, "delete a function", func(tx *gorm.DB) error {
		row, err := lockFunction(tx, name)
		if err != nil {
			return err
		}
		for _, sql := range []string{"DELETE FROM functions WHERE id = ?", "DELETE FROM event_queue WHERE function_id = ?", "DELETE FROM dead_letters WHERE function_id = ?"} {
			if err := tx.Exec(sql, row.ID).Error; err != nil {
				return err
			}
		}
		return note(tx, by, "lambda:DeleteFunction", s.arns.Function(name, ""), nil)
	})
}
