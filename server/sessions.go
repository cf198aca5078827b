package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
)

// SessionStore is what sessions need of the database; store.Store has it.
type SessionStore interface {
	CheckLoginToken(ctx context.Context, token string) (bool, error)
	ConsumeLoginToken(ctx context.Context, token, from, agent string) (sessionSecret string, u iam.User, err error)
	SessionBySecret(ctx context.Context, secret string) (*iam.Session, error)
	Preferences(ctx context.Context, user int64) (map[string]string, error)
	EndSession(ctx context.Context, by iam.Principal, user, session int64) error
}

const (
	sessionTTL   = 30 * time.Second // how long a session is believed without asking the database: sessions end only through this process
	maxSessions  = 4096
	cookiePlain  = "kiln_session"
	cookieSecure = "__Host-kiln_session"
	cookieAge    = 30 * 24 * time.Hour
)

// Sessions are the signed-in browsers, with a short memory so that a warm request asks no database. Safe for concurrent use.
type Sessions struct {
	store SessionStore
	arns  lambda.ARNs
	now   func() time.Time

	mu      sync.Mutex
	known   map[[32]byte]known
	forgets int // counts forget: what was read before one is not remembered after it
	watched map[int64]*watch
}

type known struct {
	session iam.Session
	prefs   map[string]string
	until   time.Time
}

// watch is closed when its session ends.
type watch struct {
	ended chan struct{}
	user  int64
	count int
}

// NewSessions makes the memory over store.
func NewSessions(store SessionStore, arns lambda.ARNs, now func() time.Time) *Sessions {
	return &Sessions{store: store, arns: arns, now: now, known: map[[32]byte]known{}, watched: map[int64]*watch{}}
}

// find answers the session of a cookie's secret. Unauthenticated "session.ended" when there is none.
func (s *Sessions) find(ctx context.Context, secret string) (known, error) {
	key := sha256.Sum256([]byte(secret))
	s.mu.Lock()
	k, ok := s.known[key]
	forgets := s.forgets
	s.mu.Unlock()
	if ok && s.now().Before(k.until) {
		return k, nil
	}
	session, err := s.store.SessionBySecret(ctx, secret)
	if err != nil {
		return known{}, err
	}
	prefs, err := s.store.Preferences(ctx, session.User.ID)
	if err != nil {
		return known{}, err
	}
	k = known{session: *session, prefs: prefs, until: s.now().Add(sessionTTL)}
	s.remember(key, k, forgets)
	return k, nil
}

func (s *Sessions) remember(key [32]byte, k known, forgets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgets != forgets { // it may have ended meanwhile
		return
	}
	if len(s.known) >= maxSessions {
		clear(s.known)
	}
	s.known[key] = k
}

// End signs one session of a user out, or all of them (0), and closes their sockets.
func (s *Sessions) End(ctx context.Context, by iam.Principal, user, session int64) error {
	if err := s.store.EndSession(ctx, by, user, session); err != nil {
		return err
	}
	s.forget(func(k known) bool { return k.session.User.ID == user && (session == 0 || k.session.ID == session) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.watched {
		if w.user == user && (session == 0 || id == session) {
			close(w.ended)
			delete(s.watched, id)
		}
	}
	return nil
}

// Changed makes the next request of a user read preferences anew.
func (s *Sessions) Changed(user int64) {
	s.forget(func(k known) bool { return k.session.User.ID == user })
}

func (s *Sessions) forget(which func(known) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgets++
	for key, k := range s.known {
		if which(k) {
			delete(s.known, key)
		}
	}
}

// Watch gives a channel that is closed when the session ends; call release when it is no longer needed.
func (s *Sessions) Watch(user, session int64) (ended <-chan struct{}, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched[session]
	if w == nil {
		w = &watch{ended: make(chan struct{}), user: user}
		s.watched[session] = w
	}
	w.count++
	return w.ended, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.count--; w.count == 0 && s.watched[session] == w {
			delete(s.watched, session)
		}
	})
}

// csrfOf makes the token of writes from the cookie's secret: it dies with the session and needs no memory.
func csrfOf(secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("kiln csrf"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (s *Server) cookieName() string {
	if s.secure() {
		return cookieSecure
	}
	return cookiePlain
}

// authenticate puts the principal and the session of the cookie into the context. A cookie that is no session leaves the caller anonymous.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		cookie, err := e.Cookie(s.cookieName())
		if err != nil || cookie.Value == "" || len(cookie.Value) > 256 {
			return next(e)
		}
		ctx := e.Request().Context()
		k, err := s.o.Sessions.find(ctx, cookie.Value)
		switch {
		case lambda.KindOf(err) == lambda.Unauthenticated:
			return next(e)
		case err != nil:
			return err
		}
		u := k.session.User
		ctx = edge.WithPrincipal(ctx, iam.Principal{
			Kind: iam.KindUser, ARN: s.o.Sessions.userARN(u), Name: u.Name, UserID: u.ID, Role: u.Role, From: e.RealIP(),
		})
		ctx = edge.WithSession(ctx, edge.Session{ID: k.session.ID, User: u.ID, CSRF: csrfOf(cookie.Value), Preferences: k.prefs})
		e.SetRequest(e.Request().WithContext(ctx))
		return next(e)
	}
}

func (s *Server) setSessionCookie(e echo.Context, secret string, age time.Duration) {
	e.SetCookie(&http.Cookie{
		Name: s.cookieName(), Value: secret, Path: "/", MaxAge: int(age / time.Second), HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	})
}
