package store

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var userRoles = []string{"owner", "developer", "viewer"}

// checkUser holds what every user must be. Invalid "user.wrong".
func checkUser(u User) error {
	if n := utf8.RuneCountInString(u.Name); n == 0 || n > 100 || len(u.Email) > 254 || !slices.Contains(userRoles, u.Role) {
		return lambda.E(lambda.Invalid, "user.wrong")
	}
	return nil
}

// CreateUser makes a person. Conflict "user.exists" when the e-mail address is another's; Invalid "user.wrong".
func (s *Store) CreateUser(ctx context.Context, by iam.Principal, u User) (User, error) {
	if err := checkUser(u); err != nil {
		return User{}, err
	}
	row := userRow{Name: clean(u.Name), Email: clean(u.Email), Role: u.Role, CreatedAt: micro(time.Now())}
	err := s.edit(ctx, "create a user", func(tx *gorm.DB) error {
		if err := tx.Create(&row).Error; isDuplicate(err) {
			return lambda.E(lambda.Conflict, "user.exists", "email", u.Email)
		} else if err != nil {
			return err
		}
		return note(tx, by, "kiln:CreateUser", s.userARN(row.ID), map[string]string{"role": u.Role, "name": row.Name})
	})
	return row.domain(), err
}

// UpdateUser changes name, e-mail address and role. Conflict "user.exists", "user.lastOwner"; NotFound "user.missing".
func (s *Store) UpdateUser(ctx context.Context, by iam.Principal, u User) error {
	if err := checkUser(u); err != nil {
		return err
	}
	return s.edit(ctx, "update a user", func(tx *gorm.DB) error {
		var row userRow
		if err := lockUser(tx, u.ID, &row); err != nil {
			return err
		}
		if row.Role == "owner" && u.Role != "owner" {
			if err := anotherOwner(tx, u.ID); err != nil {
				return err
			}
		}
		err := tx.Table("users").Where("id = ?", u.ID).Updates(map[string]any{"name": clean(u.Name), "email": clean(u.Email), "role": u.Role}).Error
		if isDuplicate(err) {
			return lambda.E(lambda.Conflict, "user.exists", "email", u.Email)
		}
		if err != nil {
			return err
		}
		return note(tx, by, "kiln:UpdateUser", s.userARN(u.ID), map[string]string{"role": row.Role + " → " + u.Role})
	})
}

// lockUser serialises changes of owners too: it locks all of them.
func lockUser(tx *gorm.DB, id int64, row *userRow) error {
	if err := tx.Exec("SELECT 1 FROM users WHERE role = 'owner' ORDER BY id FOR UPDATE").Error; err != nil {
		return err
	}
	return findUser(tx.Clauses(clause.Locking{Strength: "UPDATE"}), id, row)
}

func anotherOwner(tx *gorm.DB, id int64) error {
	var others int64
	if err := tx.Model(&userRow{}).Where("role = 'owner' AND id <> ?", id).Count(&others).Error; err != nil {
		return err
	}
	if others == 0 {
		return lambda.E(lambda.Conflict, "user.lastOwner")
	}
	return nil
}

// DeleteUser removes a person with sessions, keys, drafts and preferences. Conflict "user.lastOwner"; NotFound "user.missing".
func (s *Store) DeleteUser(ctx context.Context, by iam.Principal, id int64) error {
	return s.edit(ctx, "delete a user", func(tx *gorm.DB) error {
		var row userRow
		if err := lockUser(tx, id, &row); err != nil {
			return err
		}
		if row.Role == "owner" {
			if err := anotherOwner(tx, id); err != nil {
				return err
			}
		}
		if err := tx.Where("id = ?", id).Delete(&userRow{}).Error; err != nil {
			return err
		}
		return note(tx, by, "kiln:DeleteUser", s.userARN(id), map[string]string{"name": row.Name})
	})
}

// SetPasswordHash keeps an argon2id hash in its text form and ends the user's sessions; "" removes the password.
func (s *Store) SetPasswordHash(ctx context.Context, by iam.Principal, id int64, hash string) error {
	return s.edit(ctx, "set a password", func(tx *gorm.DB) error {
		done := tx.Table("users").Where("id = ?", id).Update("password_hash", hash)
		if done.Error != nil {
			return done.Error
		}
		if done.RowsAffected == 0 {
			return lambda.E(lambda.NotFound, "user.missing")
		}
		if err := tx.Where("user_id = ?", id).Delete(&sessionRow{}).Error; err != nil {
			return err
		}
		return note(tx, by, "kiln:SetPassword", s.userARN(id), nil)
	})
}

// UserByEmail finds who signs in with an address and the hash of the password ("" for none). NotFound "user.missing".
func (s *Store) UserByEmail(ctx context.Context, email string) (u User, hash string, err error) {
	var row userRow
	err = s.read(ctx, "find a user", func(db *gorm.DB) error {
		err := db.Where("lower(email) = lower(?) AND email <> ''", clean(email)).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "user.missing")
		}
		return err
	})
	return row.domain(), row.PasswordHash, err
}
