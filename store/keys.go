package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// AccessKey is a signing key. Secret is opened.
type AccessKey = iam.AccessKey

type accessKeyRow struct {
	ID        string `gorm:"primaryKey"`
	Secret    []byte
	Kind      string
	ARN       string `gorm:"column:arn"`
	Name      string
	UserID    *int64
	CreatedAt time.Time `gorm:"autoCreateTime:false"`
	UsedAt    *time.Time
}

func (accessKeyRow) TableName() string { return "access_keys" }

func keyPlace(id string) string { return "access key " + id }

// domain leaves the secret out.
func (r *accessKeyRow) domain() AccessKey {
	k := AccessKey{ID: r.ID, CreatedAt: r.CreatedAt, Principal: iam.Principal{Kind: iam.PrincipalKind(r.Kind), ARN: r.ARN, Name: r.Name}}
	if r.UserID != nil {
		k.Principal.UserID = *r.UserID
	}
	if r.UsedAt != nil {
		k.UsedAt = *r.UsedAt
	}
	return k
}

// PutRootKey keeps the root access key given by settings or made at first start; it is then the only root key.
func (s *Store) PutRootKey(ctx context.Context, id, secret string) error {
	arn := "arn:aws:iam::" + s.arns.AccountID + ":root"
	row := accessKeyRow{ID: id, Secret: s.ring.Seal([]byte(secret), keyPlace(id)), Kind: string(iam.KindRoot), ARN: arn, Name: "root", CreatedAt: micro(time.Now())}
	return s.edit(ctx, "keep the root key", func(tx *gorm.DB) error {
		gone := tx.Where("kind = ? AND id <> ?", iam.KindRoot, id).Delete(&accessKeyRow{})
		if gone.Error != nil {
			return gone.Error
		}
		kept := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"secret"})}).Create(&row)
		if kept.Error != nil {
			return kept.Error
		}
		if gone.RowsAffected == 0 {
			return nil // every start puts the same key
		}
		return note(tx, iam.System, "iam:UpdateAccessKey", arn, map[string]string{"key": id})
	})
}

// NewAccessKey makes a key for a person; its secret is answered here and by AccessKey only.
func (s *Store) NewAccessKey(ctx context.Context, by iam.Principal, user int64) (*AccessKey, error) {
	id, secret := newKeyID(), newKeySecret()
	var made AccessKey
	err := s.edit(ctx, "make an access key", func(tx *gorm.DB) error {
		var u userRow
		if err := findUser(tx, user, &u); err != nil {
			return err
		}
		row := accessKeyRow{ID: id, Secret: s.ring.Seal([]byte(secret), keyPlace(id)), Kind: string(iam.KindUser), ARN: s.userARN(user),
			Name: u.Name, UserID: &user, CreatedAt: micro(time.Now())}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		made = row.domain()
		made.Principal.Role, made.Secret = u.Role, secret
		return note(tx, by, "iam:CreateAccessKey", s.userARN(user), map[string]string{"key": id})
	})
	return &made, err
}

func newKeyID() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "AKIA" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

func newKeySecret() string {
	b := make([]byte, 30)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(b)
}

// AccessKeys of a person, newest first, without secrets.
func (s *Store) AccessKeys(ctx context.Context, user int64) ([]AccessKey, error) {
	var rows []accessKeyRow
	err := s.read(ctx, "list access keys", func(db *gorm.DB) error {
		return db.Where("user_id = ?", user).Order("created_at DESC").Limit(100).Find(&rows).Error
	})
	return mapTo(rows, (*accessKeyRow).domain), err
}

// DeleteAccessKey revokes a person's key. NotFound "key.missing".
func (s *Store) DeleteAccessKey(ctx context.Context, by iam.Principal, user int64, id string) error {
	return s.edit(ctx, "delete an access key", func(tx *gorm.DB) error {
		gone := tx.Where("id = ? AND user_id = ?", clean(id), user).Delete(&accessKeyRow{})
		if gone.Error != nil {
			return gone.Error
		}
		if gone.RowsAffected == 0 {
			return lambda.E(lambda.NotFound, "key.missing")
		}
		return note(tx, by, "iam:DeleteAccessKey", s.userARN(user), map[string]string{"key": id})
	})
}

// AccessKey by id, secret opened. Unauthenticated "key.missing". It notes UsedAt at most once a minute.
func (s *Store) AccessKey(ctx context.Context, id string) (*AccessKey, error) {
	var k AccessKey
	err := s.read(ctx, "read an access key", func(db *gorm.DB) error {
		var row accessKeyRow
		err := db.Where("id = ?", clean(id)).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.Unauthenticated, "key.missing")
		}
		if err != nil {
			return err
		}
		k, err = s.openKey(db, &row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &k, nil
}

func (s *Store) openKey(db *gorm.DB, row *accessKeyRow) (AccessKey, error) {
	k := row.domain()
	plain, err := s.ring.Open(row.Secret, keyPlace(row.ID))
	if err != nil {
		return k, err
	}
	k.Secret = string(plain)
	if row.UserID != nil {
		var u userRow
		if err := findUser(db, *row.UserID, &u); err != nil {
			return k, err
		}
		k.Principal.Role = u.Role
	}
	if now := micro(time.Now()); now.Sub(k.UsedAt) > seenPrecision {
		err = db.Model(row).Where("id = ?", row.ID).Update("used_at", now).Error
	}
	return k, err
}
