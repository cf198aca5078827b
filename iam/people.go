package iam

import "time"

// User is a person who may sign in.
type User struct {
	ID        int64
	Name      string // display name
	Email     string // sign-in name; "" for the first owner until set
	Role      string // "owner", "developer", "viewer"
	CreatedAt time.Time
}

// Session is a signed-in browser.
type Session struct {
	ID        int64
	User      User
	CreatedAt time.Time
	SeenAt    time.Time
	From      string
	Agent     string
}

// AccessKey is a signing key. Secret is opened.
type AccessKey struct {
	ID        string // AKIA…, ASIA… for a temporary one
	Secret    string
	Token     string    // the session token of a temporary key, "" for a lasting one
	ExpiresAt time.Time // of a temporary key
	Principal Principal
	CreatedAt time.Time
	UsedAt    time.Time
}

// Role is an IAM role.
type Role struct {
	ARN         string
	Name        string
	Description string
	Trust       string            // JSON document
	Policies    map[string]string // name → JSON document
	CreatedAt   time.Time
}
