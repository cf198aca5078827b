package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"kiln/iam"
)

type (
	principalKey struct{}
	requestKey   struct{}
	sessionKey   struct{}
	nonceKey     struct{}
)

// WithPrincipal puts who calls into ctx.
func WithPrincipal(ctx context.Context, p iam.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Principal is who calls; the anonymous one when nobody was put into ctx.
func Principal(ctx context.Context) iam.Principal {
	p, ok := ctx.Value(principalKey{}).(iam.Principal)
	if !ok {
		return iam.Principal{Kind: iam.KindAnonymous}
	}
	return p
}

// Session is a signed-in browser as handlers need it.
type Session struct {
	ID          int64
	User        int64
	CSRF        string            // what every write must bring along
	Preferences map[string]string // read only
}

// WithSession puts the browser's session into ctx.
func WithSession(ctx context.Context, s Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// SessionOf is the browser's session; the zero value when nobody is signed in.
func SessionOf(ctx context.Context) Session {
	s, _ := ctx.Value(sessionKey{}).(Session)
	return s
}

// NewRequestID makes a random UUID.
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// WithRequestID puts the id of the HTTP request into ctx.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID is the id of the HTTP request; "" outside one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// WithNonce puts the style nonce of this answer's content security policy into ctx.
func WithNonce(ctx context.Context, nonce string) context.Context {
	return context.WithValue(ctx, nonceKey{}, nonce)
}

// Nonce is the style nonce of this answer.
func Nonce(ctx context.Context) string {
	n, _ := ctx.Value(nonceKey{}).(string)
	return n
}
