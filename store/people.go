package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// User is a person who may sign in.
type User = iam.User

// Session is a signed-in browser.
type Session = iam.Session

const (
	sessionIdle   = 30 * 24 * time.Hour // a session that was not seen for this long has ended
	seenPrecision = time.Minute
	maxPreference = 4096 // bytes of a preference's value
)

type userRow struct {
	ID           int64 `gorm:"primaryKey;autoIncrement"`
	Name         string
	Email        string
	Role         string
	PasswordHash string
	CreatedAt    time.Time `gorm:"autoCreateTime:false"`
}

func (userRow) TableName() string { return "users" }

func (r *userRow) domain() User {
	return User{ID: r.ID, Name: r.Name, Email: r.Email, Role: r.Role, CreatedAt: r.CreatedAt}
}

type sessionRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement"`
	UserID      int64
	SecretHash  []byte
	CreatedAt   time.Time `gorm:"autoCreateTime:false"`
	SeenAt      time.Time
	FromAddress string
	Agent       string
}

func (sessionRow) TableName() string { return "sessions" }

func (r *sessionRow) domain(u User) Session {
	return Session{ID: r.ID, User: u, CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, From: r.FromAddress, Agent: r.Agent}
}

// newSecret is 32 random bytes for a cookie or a link; only its SHA-256 is kept.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashed(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// FirstOwner makes the owner at first start and answers him on every start.
func (s *Store) FirstOwner(ctx context.Context) (User, error) {
	var u User
	err := s.edit(ctx, "find the owner", func(tx *gorm.DB) error {
		var row userRow
		err := tx.Where("role = 'owner'").Order("id").Limit(1).Take(&row).Error
		if isMissing(err) {
			row = userRow{Name: "Owner", Role: "owner", CreatedAt: micro(time.Now())}
			if err = tx.Create(&row).Error; err == nil {
				err = note(tx, iam.System, "kiln:CreateUser", s.userARN(row.ID), map[string]string{"role": "owner"})
			}
		}
		u = row.domain()
		return err
	})
	return u, err
}

func (s *Store) userARN(id int64) string {
	return "arn:aws:iam::" + s.arns.AccountID + ":user/" + strconv.FormatInt(id, 10)
}

// Users are all people, in the order in which they came.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	var rows []userRow
	err := s.read(ctx, "list users", func(db *gorm.DB) error { return db.Order("id").Limit(10_000).Find(&rows).Error })
	return mapTo(rows, (*userRow).domain), err
}

// UserByID is NotFound "user.missing" when there is none.
func (s *Store) UserByID(ctx context.Context, id int64) (User, error) {
	var row userRow
	err := s.read(ctx, "read a user", func(db *gorm.DB) error { return findUser(db, id, &row) })
	return row.domain(), err
}

func findUser(db *gorm.DB, id int64, row *userRow) error {
	err := db.Where("id = ?", id).Take(row).Error
	if isMissing(err) {
		return lambda.E(lambda.NotFound, "user.missing")
	}
	return err
}

// NewLoginToken makes a one-time sign-in token for a user (kept as SHA-256).
func (s *Store) NewLoginToken(ctx context.Context, user int64, valid time.Duration) (token string, err error) {
	token = newSecret()
	err = s.read(ctx, "make a login token", func(db *gorm.DB) error {
		return db.Exec("INSERT INTO login_tokens (user_id, hash, expires_at) VALUES (?, ?, now() + ?::interval)",
			user, hashed(token), interval(valid)).Error
	})
	return token, err
}

func interval(d time.Duration) string {
	return strconv.FormatInt(d.Microseconds(), 10) + " microseconds"
}

// ConsumeLoginToken ends the token and answers a new session's secret. Unauthenticated "login.link" when it is unknown, used or old.
func (s *Store) ConsumeLoginToken(ctx context.Context, token, from, agent string) (sessionSecret string, u User, err error) {
	err = s.edit(ctx, "consume a login token", func(tx *gorm.DB) error {
		var users []int64
		err := tx.Raw("DELETE FROM login_tokens WHERE hash = ? AND expires_at > now() RETURNING user_id", hashed(token)).Scan(&users).Error
		if err != nil {
			return err
		}
		if len(users) == 0 {
			return lambda.E(lambda.Unauthenticated, "login.link")
		}
		sessionSecret, u, err = s.newSession(tx, users[0], from, agent)
		return err
	})
	if err != nil {
		return "", User{}, err
	}
	return sessionSecret, u, nil
}

// NewSession signs a user in whom the caller has authenticated; the secret is new each time.
func (s *Store) NewSession(ctx context.Context, user int64, from, agent string) (sessionSecret string, err error) {
	err = s.edit(ctx, "sign in", func(tx *gorm.DB) error {
		sessionSecret, _, err = s.newSession(tx, user, from, agent)
		return err
	})
	return sessionSecret, err
}

func (s *Store) newSession(tx *gorm.DB, user int64, from, agent string) (string, User, error) {
	var row userRow
	if err := findUser(tx, user, &row); err != nil {
		return "", User{}, err
	}
	secret, now := newSecret(), micro(time.Now())
	err := tx.Create(&sessionRow{UserID: user, SecretHash: hashed(secret), CreatedAt: now, SeenAt: now,
		FromAddress: clean(from), Agent: short(clean(agent), 300)}).Error
	if err != nil {
		return "", User{}, err
	}
	u := row.domain()
	by := iam.Principal{Kind: iam.KindUser, ARN: s.userARN(u.ID), Name: u.Name, UserID: u.ID, From: from}
	return secret, u, note(tx, by, "kiln:SignIn", s.userARN(u.ID), nil)
}

func short(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	return strings.ToValidUTF8(s[:bytes], "")
}

// CheckLoginToken says whether the token could be consumed now.
func (s *Store) CheckLoginToken(ctx context.Context, token string) (bool, error) {
	var ok bool
	err := s.read(ctx, "check a login token", func(db *gorm.DB) error {
		return db.Raw("SELECT EXISTS (SELECT FROM login_tokens WHERE hash = ? AND expires_at > now())", hashed(token)).Scan(&ok).Error
	})
	return ok, err
}

// SessionBySecret is Unauthenticated "session.ended" when there is none. It notes SeenAt at most once a minute.
func (s *Store) SessionBySecret(ctx context.Context, secret string) (*Session, error) {
	var found Session
	err := s.read(ctx, "find a session", func(db *gorm.DB) error {
		var row sessionRow
		now := micro(time.Now())
		err := db.Where("secret_hash = ? AND seen_at > ?", hashed(secret), now.Add(-sessionIdle)).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.Unauthenticated, "session.ended")
		}
		if err != nil {
			return err
		}
		if now.Sub(row.SeenAt) > seenPrecision {
			row.SeenAt = now
			if err := db.Model(&row).Where("id = ?", row.ID).Update("seen_at", now).Error; err != nil {
				return err
			}
		}
		var user userRow
		if err := findUser(db, row.UserID, &user); err != nil {
			return err
		}
		found = row.domain(user.domain())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// Sessions of a user, newest first.
func (s *Store) Sessions(ctx context.Context, user int64) ([]Session, error) {
	var all []Session
	err := s.read(ctx, "list sessions", func(db *gorm.DB) error {
		var u userRow
		if err := findUser(db, user, &u); err != nil {
			return err
		}
		var rows []sessionRow
		err := db.Where("user_id = ? AND seen_at > ?", user, time.Now().Add(-sessionIdle)).Order("id DESC").Limit(500).Find(&rows).Error
		for i := range rows {
			all = append(all, rows[i].domain(u.domain()))
		}
		return err
	})
	return all, err
}

// EndSession signs a session out; 0 for all of the user.
func (s *Store) EndSession(ctx context.Context, by iam.Principal, user, session int64) error {
	return s.edit(ctx, "end a session", func(tx *gorm.DB) error {
		q := tx.Where("user_id = ?", user)
		if session != 0 {
			q = q.Where("id = ?", session)
		}
		if err := q.Delete(&sessionRow{}).Error; err != nil {
			return err
		}
		return note(tx, by, "kiln:EndSession", s.userARN(user), map[string]string{"session": strconv.FormatInt(session, 10)})
	})
}

type preferenceRow struct {
	UserID int64  `gorm:"primaryKey;autoIncrement:false"`
	Name   string `gorm:"primaryKey"`
	Value  string
}

func (preferenceRow) TableName() string { return "preferences" }

// Preferences of a user: "locale", "theme", "pinned" …; SetPreference with "" removes.
func (s *Store) Preferences(ctx context.Context, user int64) (map[string]string, error) {
	all := map[string]string{}
	err := s.read(ctx, "read preferences", func(db *gorm.DB) error {
		var rows []preferenceRow
		err := db.Where("user_id = ?", user).Find(&rows).Error
		for _, r := range rows {
			all[r.Name] = r.Value
		}
		return err
	})
	return all, err
}

// SetPreference keeps one preference, of at most 64 + 4,096 bytes and at most 100 of them. Invalid "preference.size".
func (s *Store) SetPreference(ctx context.Context, user int64, name, value string) error {
	if name == "" || len(name) > 64 || len(value) > maxPreference {
		return lambda.E(lambda.Invalid, "preference.size")
	}
	name, value = clean(name), clean(value)
	return s.edit(ctx, "keep a preference", func(tx *gorm.DB) error {
		if value == "" {
			return tx.Where("user_id = ? AND name = ?", user, name).Delete(&preferenceRow{}).Error
		}
		var others int64
		if err := tx.Model(&preferenceRow{}).Where("user_id = ? AND name <> ?", user, name).Count(&others).Error; err != nil {
			return err
		}
		if others >= 100 {
			return lambda.E(lambda.Invalid, "preference.size")
		}
		return tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "user_id"}, {Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"value"})}).
			Create(&preferenceRow{user, name, value}).Error
	})
}
