package store

import (
	"context"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Role is an IAM role.
type Role = iam.Role

// DefaultRole is the name of the role that functions get when nobody chose one: it may only write logs.
const DefaultRole = "kiln-default"

const (
	lambdaTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	writeLogs   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}`
)

type roleRow struct {
	ARN         string `gorm:"column:arn;primaryKey"`
	Name        string
	Description string
	Trust       string
	Policies    textMap
	CreatedAt   time.Time `gorm:"autoCreateTime:false"`
}

func (roleRow) TableName() string { return "roles" }

func (r *roleRow) domain() Role {
	return Role{ARN: r.ARN, Name: r.Name, Description: r.Description, Trust: r.Trust, Policies: r.Policies, CreatedAt: r.CreatedAt}
}

func (s *Store) seedRole(ctx context.Context) error {
	return s.read(ctx, "make the default role", func(db *gorm.DB) error {
		row := roleRow{ARN: s.arns.Role(DefaultRole), Name: DefaultRole, Description: "Writes logs, nothing else", Trust: lambdaTrust,
			Policies: textMap{"write-logs": writeLogs}, CreatedAt: micro(time.Now())}
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error
	})
}

// Roles are the execution roles with their documents, by name.
func (s *Store) Roles(ctx context.Context) ([]Role, error) {
	var rows []roleRow
	err := s.read(ctx, "list roles", func(db *gorm.DB) error { return db.Order("name").Limit(1000).Find(&rows).Error })
	return mapTo(rows, (*roleRow).domain), err
}

// Role is one role by ARN. NotFound "role.missing".
func (s *Store) Role(ctx context.Context, arn string) (*Role, error) {
	return s.role(ctx, "arn = ?", arn)
}

// RoleNamed is one role by name, whatever its path: sessions name their role without it. NotFound "role.missing".
func (s *Store) RoleNamed(ctx context.Context, name string) (*Role, error) {
	return s.role(ctx, "name = ?", name)
}

func (s *Store) role(ctx context.Context, where, value string) (*Role, error) {
	var row roleRow
	err := s.read(ctx, "read a role", func(db *gorm.DB) error {
		err := db.Where(where, clean(value)).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "role.missing", "arn", value)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r := row.domain()
	return &r, nil
}

// PutRole makes or replaces a role; documents are validated by iam.
func (s *Store) PutRole(ctx context.Context, by iam.Principal, r Role) error {
	row := roleRow{ARN: clean(r.ARN), Name: clean(r.Name), Description: clean(r.Description), Trust: clean(r.Trust), Policies: cleanMap(r.Policies), CreatedAt: micro(time.Now())}
	return s.edit(ctx, "keep a role", func(tx *gorm.DB) error {
		err := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "arn"}}, DoUpdates: clause.AssignmentColumns([]string{"description", "trust", "policies"})}).
			Create(&row).Error
		if isDuplicate(err) {
			return lambda.E(lambda.Conflict, "role.exists", "name", r.Name)
		}
		if err != nil {
			return err
		}
		return note(tx, by, "iam:PutRole", r.ARN, map[string]string{"trust": row.Trust, "policies": strings.Join(sortedKeys(row.Policies), ", ")})
	})
}

// DeleteRole removes a role. NotFound "role.missing"; Conflict "role.used" while a function has it.
func (s *Store) DeleteRole(ctx context.Context, by iam.Principal, arn string) error {
	return s.edit(ctx, "delete a role", func(tx *gorm.DB) error {
		var users []string
		if err := tx.Raw("SELECT name FROM functions WHERE role = ? ORDER BY name LIMIT 1", clean(arn)).Scan(&users).Error; err != nil {
			return err
		}
		if len(users) > 0 {
			return lambda.E(lambda.Conflict, "role.used", "arn", arn, "function", users[0])
		}
		gone := tx.Where("arn = ?", clean(arn)).Delete(&roleRow{})
		if gone.Error != nil {
			return gone.Error
		}
		if gone.RowsAffected == 0 {
			return lambda.E(lambda.NotFound, "role.missing", "arn", arn)
		}
		return note(tx, by, "iam:DeleteRole", arn, nil)
	})
}
