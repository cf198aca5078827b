package store

import (
	"context"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// User is a person who may sign in.
type User = iam.User

// Session is a signed-in browser.
type Session = iam.Session

// FirstOwner makes the owner at first start and answers him on every start.
func (s *Store) FirstOwner(ctx context.Context) (User, error) { return User{}, errNotBuilt }

// NewLoginToken makes a one-time sign-in token for a user (kept as SHA-256).
func (s *Store) NewLoginToken(ctx context.Context, user int64, valid time.Duration) (token string, err error) {
	return "", errNotBuilt
}

// ConsumeLoginToken ends the token and answers a new session's secret. Unauthenticated "login.link" when it is unknown, used or old.
func (s *Store) ConsumeLoginToken(ctx context.Context, token, from, agent string) (sessionSecret string, u User, err error) {
	return "", User{}, errNotBuilt
}

// CheckLoginToken says whether the token could be consumed now.
func (s *Store) CheckLoginToken(ctx context.Context, token string) (bool, error) {
	return false, errNotBuilt
}

// SessionBySecret is Unauthenticated "session.ended" when there is none. It notes SeenAt at most once a minute.
func (s *Store) SessionBySecret(ctx context.Context, secret string) (*Session, error) {
	return nil, errNotBuilt
}

// Sessions of a user, newest first.
func (s *Store) Sessions(ctx context.Context, user int64) ([]Session, error) { return nil, errNotBuilt }

// EndSession signs a session out; 0 for all of the user.
func (s *Store) EndSession(ctx context.Context, by iam.Principal, user, session int64) error {
	return errNotBuilt
}

// Preferences of a user: "locale", "theme", "pinned" …; SetPreference with "" removes.
func (s *Store) Preferences(ctx context.Context, user int64) (map[string]string, error) {
	return nil, errNotBuilt
}

// SetPreference keeps one preference.
func (s *Store) SetPreference(ctx context.Context, user int64, name, value string) error {
	return errNotBuilt
}

// AccessKey is a signing key. Secret is opened.
type AccessKey = iam.AccessKey

// PutRootKey keeps the root access key given by settings or made at first start.
func (s *Store) PutRootKey(ctx context.Context, id, secret string) error { return errNotBuilt }

// AccessKey by id. Unauthenticated "key.missing".
func (s *Store) AccessKey(ctx context.Context, id string) (*AccessKey, error) {
	return nil, errNotBuilt
}

// Setting and SetSetting keep account settings as JSON by name: "concurrency", "retention", "prices", "isolation".
func (s *Store) Setting(ctx context.Context, name string, into any) error { return errNotBuilt }

// SetSetting keeps one setting and audits it.
func (s *Store) SetSetting(ctx context.Context, by iam.Principal, name string, value any) error {
	return errNotBuilt
}

// AuditRefusal keeps a refusal; changes are kept by the writes themselves.
func (s *Store) AuditRefusal(ctx context.Context, e lambda.AuditEntry) error { return errNotBuilt }

// Audit is one page, newest first; before 0 starts at the newest.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]lambda.AuditEntry, error) {
	return nil, errNotBuilt
}

// Roles are the execution roles with their documents.
func (s *Store) Roles(ctx context.Context) ([]Role, error) { return nil, errNotBuilt }

// Role is one role by ARN. NotFound "role.missing".
func (s *Store) Role(ctx context.Context, arn string) (*Role, error) { return nil, errNotBuilt }

// PutRole makes or replaces a role; documents are validated by iam.
func (s *Store) PutRole(ctx context.Context, by iam.Principal, r Role) error { return errNotBuilt }

// Role is an IAM role.
type Role = iam.Role
