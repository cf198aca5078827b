package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/console"
	"kiln/server/edge"
	"kiln/web"
	"kiln/web/messages"
)

func (s *Server) loginRoutes() []console.Route {
	open := func(method, path string, h echo.HandlerFunc) console.Route {
		return console.Route{Method: method, Path: path, Row: edge.Row{Target: method + " " + path, Open: true}, Handle: h}
	}
	return []console.Route{
		open("GET", "/login", s.loginPage),
		open("POST", "/login", s.signIn),
		open("POST", "/logout", s.signOut),
	}
}

// loginPage only shows a button: link previews and prefetching must not use the link up.
func (s *Server) loginPage(e echo.Context) error {
	if l, ok := messages.ParseLocale(e.QueryParam("lang")); ok {
		e.SetCookie(&http.Cookie{Name: "kiln_locale", Value: string(l), Path: "/", MaxAge: 31_536_000, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure()})
		e.Request().AddCookie(&http.Cookie{Name: "kiln_locale", Value: string(l)})
	}
	token, next := e.QueryParam("token"), console.LocalPath(e.QueryParam("next"))
	if edge.SessionOf(e.Request().Context()).ID != 0 && token == "" {
		return e.Redirect(http.StatusSeeOther, next)
	}
	page := web.Login{Next: next}
	if token != "" {
		if !s.login.allow(e.RealIP(), s.o.Now()) {
			page.Note = web.T(s.o.Console.Context(e), "login.slow")
			return s.o.Console.Render(e, http.StatusTooManyRequests, web.LoginPage(page))
		}
		ok, err := s.o.Sessions.store.CheckLoginToken(e.Request().Context(), token)
		if err != nil {
			return err
		}
		page.Token = token
		if !ok {
			page.Token, page.Note = "", web.T(s.o.Console.Context(e), "login.ended")
		}
	}
	return s.o.Console.Render(e, http.StatusOK, web.LoginPage(page))
}

// signIn uses the link up and starts a new session; an older session of this browser ends.
func (s *Server) signIn(e echo.Context) error {
	e.Request().Body = http.MaxBytesReader(e.Response(), e.Request().Body, 64<<10)
	if !s.login.allow(e.RealIP(), s.o.Now()) {
		return lambda.E(lambda.Throttled, "login.slow")
	}
	ctx := e.Request().Context()
	agent := e.Request().UserAgent()
	secret, _, err := s.o.Sessions.store.ConsumeLoginToken(ctx, e.FormValue("token"), e.RealIP(), agent[:min(len(agent), 256)])
	if lambda.KindOf(err) == lambda.Unauthenticated {
		page := web.Login{Next: console.LocalPath(e.FormValue("next")), Note: web.T(s.o.Console.Context(e), "login.ended")}
		return s.o.Console.Render(e, http.StatusUnauthorized, web.LoginPage(page))
	}
	if err != nil {
		return err
	}
	if old := edge.SessionOf(ctx); old.ID != 0 {
		if err := s.o.Sessions.End(ctx, edge.Principal(ctx), old.User, old.ID); err != nil {
			return err
		}
	}
	s.setSessionCookie(e, secret, cookieAge)
	return e.Redirect(http.StatusSeeOther, console.LocalPath(e.FormValue("next")))
}

func (s *Server) signOut(e echo.Context) error {
	ctx := e.Request().Context()
	if session := edge.SessionOf(ctx); session.ID != 0 {
		if err := s.o.Sessions.End(ctx, edge.Principal(ctx), session.User, session.ID); err != nil {
			return err
		}
	}
	s.setSessionCookie(e, "", -time.Second)
	return e.Redirect(http.StatusSeeOther, "/login")
}

func (s *Sessions) userARN(u iam.User) string {
	name := u.Email
	if name == "" {
		name = "owner"
	}
	return "arn:aws:iam::" + s.arns.AccountID + ":user/" + name
}

// limiter allows n tries per address and period; it forgets everybody rather than grow without bound.
type limiter struct {
	n      int
	period time.Duration
	mu     sync.Mutex
	tries  map[string]tries
}

type tries struct {
	count int
	since time.Time
}

func newLimiter(n int, period time.Duration) *limiter {
	return &limiter{n: n, period: period, tries: map[string]tries{}}
}

func (l *limiter) allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tries[address]
	if now.Sub(t.since) >= l.period {
		t = tries{since: now}
	}
	t.count++
	if len(l.tries) >= 10_000 {
		clear(l.tries)
	}
	l.tries[address] = t
	return t.count <= l.n
}
