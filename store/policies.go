package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type policyRow struct {
	FunctionID *int64
	Layer      *string
	Qualifier  string
	RevisionID string `gorm:"column:revision_id"`
	Statements jsonColumn[[]statementJSON]
}

func (policyRow) TableName() string { return "policies" }

// statementJSON keeps the document as text: jsonb would reorder it.
type statementJSON struct{ SID, Document string }

func (r *policyRow) domain() *lambda.ResourcePolicy {
	p := &lambda.ResourcePolicy{RevisionID: r.RevisionID}
	for _, s := range r.Statements.v {
		p.Statements = append(p.Statements, lambda.PolicyStatement{SID: s.SID, Document: json.RawMessage(s.Document)})
	}
	return p
}

// subject finds what a policy is on: the condition of its row, its empty row and its ARN.
func (s *Store) subject(db *gorm.DB, on lambda.PolicySubject) (*gorm.DB, policyRow, string, error) {
	if on.Layer != "" {
		number, err := strconv.ParseInt(on.Qualifier, 10, 64)
		if err != nil {
			number = 0
		}
		arn := s.arns.LayerVersion(on.Layer, on.Qualifier)
		var there bool
		err = db.Raw("SELECT EXISTS (SELECT FROM layer_versions WHERE layer = ? AND number = ?)", clean(on.Layer), number).Scan(&there).Error
		if err == nil && !there {
			err = lambda.E(lambda.NotFound, "layer.missing", "arn", arn)
		}
		return db.Where("layer = ? AND qualifier = ?", on.Layer, on.Qualifier), policyRow{Layer: &on.Layer, Qualifier: on.Qualifier}, arn, err
	}
	f, err := findFunction(db, on.Function)
	if err != nil {
		return nil, policyRow{}, "", err
	}
	if err := qualified(db, f, on.Qualifier); err != nil {
		return nil, policyRow{}, "", err
	}
	return db.Where("function_id = ? AND qualifier = ?", f.ID, on.Qualifier), policyRow{FunctionID: &f.ID, Qualifier: on.Qualifier}, s.arns.Function(on.Function, on.Qualifier), nil
}

// Policy is the resource policy on a function or a layer version. NotFound "policy.missing" when it has none, "function.missing",
// "version.missing", "alias.missing", "layer.missing" when there is no such subject.
func (s *Store) Policy(ctx context.Context, on lambda.PolicySubject) (*lambda.ResourcePolicy, error) {
	var p *lambda.ResourcePolicy
	err := s.read(ctx, "read a policy", func(db *gorm.DB) error {
		where, row, arn, err := s.subject(db, on)
		if err != nil {
			return err
		}
		err = where.Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "policy.missing", "arn", arn)
		}
		if err != nil {
			return err
		}
		p = row.domain()
		return nil
	})
	return p, err
}

// ResourcePolicy is the document on a resource's ARN (a function, one of its versions or aliases, a layer version); "" for none.
func (s *Store) ResourcePolicy(ctx context.Context, arn string) (string, error) {
	on, ok := subjectOf(arn)
	if !ok {
		return "", nil
	}
	p, err := s.Policy(ctx, on)
	if lambda.KindOf(err) == lambda.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return p.Document(), nil
}

// subjectOf reads arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>] and …:layer:<name>:<number>.
func subjectOf(arn string) (lambda.PolicySubject, bool) {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 || len(parts) > 8 || parts[2] != "lambda" {
		return lambda.PolicySubject{}, false
	}
	qualifier := ""
	if len(parts) == 8 {
		qualifier = parts[7]
	}
	switch parts[5] {
	case "function":
		return lambda.PolicySubject{Function: parts[6], Qualifier: qualifier}, true
	case "layer":
		return lambda.PolicySubject{Layer: parts[6], Qualifier: qualifier}, true
	}
	return lambda.PolicySubject{}, false
}

// AddStatement adds a statement. Conflict "statement.exists"; Precondition "policy.revision" when revisionID is not "" and not the current one.
func (s *Store) AddStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, st lambda.PolicyStatement, revisionID string) (*lambda.ResourcePolicy, error) {
	return s.changePolicy(ctx, by, "lambda:AddPermission", on, st.SID, revisionID, func(all []statementJSON) ([]statementJSON, error) {
		if slices.ContainsFunc(all, func(x statementJSON) bool { return x.SID == st.SID }) {
			return nil, lambda.E(lambda.Conflict, "statement.exists", "sid", st.SID)
		}
		return append(all, statementJSON{st.SID, clean(string(st.Document))}), nil
	})
}

// RemoveStatement removes a statement. NotFound "statement.missing"; Precondition "policy.revision".
func (s *Store) RemoveStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, sid, revisionID string) error {
	_, err := s.changePolicy(ctx, by, "lambda:RemovePermission", on, sid, revisionID, func(all []statementJSON) ([]statementJSON, error) {
		left := slices.DeleteFunc(slices.Clone(all), func(x statementJSON) bool { return x.SID == sid })
		if len(left) == len(all) {
			return nil, lambda.E(lambda.NotFound, "statement.missing", "sid", sid)
		}
		return left, nil
	})
	return err
}

func (s *Store) changePolicy(ctx context.Context, by iam.Principal, action string, on lambda.PolicySubject, sid, revisionID string, change func([]statementJSON) ([]statementJSON, error)) (*lambda.ResourcePolicy, error) {
	var after *lambda.ResourcePolicy
	err := s.edit(ctx, "change a policy", func(tx *gorm.DB) error {
		where, row, arn, err := s.subject(tx, on)
		if err != nil {
			return err
		}
		// Two first statements at once would both see no row to lock.
		if err := tx.Exec("SELECT pg_advisory_xact_lock(hashtext(?))", arn).Error; err != nil {
			return err
		}
		if err := where.Take(&row).Error; err != nil && !isMissing(err) {
			return err
		}
		if revisionID != "" && revisionID != row.RevisionID {
			return lambda.E(lambda.Precondition, "policy.revision", "arn", arn)
		}
		all, err := change(row.Statements.v)
		if err != nil {
			return err
		}
		row.Statements.v, row.RevisionID = all, newUUID()
		after = row.domain()
		if err := after.Validate(); err != nil {
			return err
		}
		if err := row.keep(tx); err != nil {
			return err
		}
		return note(tx, by, action, arn, map[string]string{"statement": sid})
	})
	return after, err
}

// keep writes the row, or removes it with its last statement.
func (r *policyRow) keep(tx *gorm.DB) error {
	if len(r.Statements.v) == 0 {
		return tx.Exec("DELETE FROM policies WHERE (function_id = ? OR layer = ?) AND qualifier = ?", r.FunctionID, r.Layer, r.Qualifier).Error
	}
	column := "function_id"
	if r.Layer != nil {
		column = "layer"
	}
	return tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: column}, {Name: "qualifier"}},
		TargetWhere: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: column + " IS NOT NULL"}}},
		DoUpdates:   clause.AssignmentColumns([]string{"statements", "revision_id"})}).Create(r).Error
}
