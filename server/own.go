package server

import (
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/static"
	"kiln/web/messages"
)

// ownRoutes are addresses that everybody may read: built files, texts for the islands, health; and the metrics, for this machine only.
func (s *Server) ownRoutes(e *echo.Echo) {
	e.GET(static.Prefix+"*", echo.WrapHandler(static.Handler()))
	e.GET("/words/*", clientTexts)
	e.GET("/favicon.ico", func(e echo.Context) error { return e.Redirect(http.StatusMovedPermanently, static.URL("favicon.svg")) })
	e.GET("/robots.txt", func(e echo.Context) error { return e.String(http.StatusOK, "User-agent: *\nDisallow: /\n") })
	e.GET("/healthz", s.health)
	e.GET("/metrics", s.metrics)
}

func clientTexts(e echo.Context) error {
	body := messages.ClientJSON(e.Request().URL.Path)
	if body == nil {
		return echo.ErrNotFound
	}
	h := e.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if !strings.Contains(e.Request().Header.Get("Accept-Encoding"), "gzip") {
		return e.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	h.Set("Content-Encoding", "gzip")
	return e.Blob(http.StatusOK, echo.MIMEApplicationJSON, zipped.Bytes())
}

func (s *Server) health(e echo.Context) error {
	h := s.o.Health(e.Request().Context())
	status := http.StatusOK
	if h.Status != "ok" {
		status = http.StatusServiceUnavailable
	}
	e.Response().Header().Set("Cache-Control", "no-store")
	return e.JSON(status, h)
}

// metrics answers only callers on this machine that no proxy stands in front of.
func (s *Server) metrics(e echo.Context) error {
	host, _, err := net.SplitHostPort(e.Request().RemoteAddr)
	if err != nil {
		return echo.ErrNotFound
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() || proxied(e.Request()) || s.o.Metrics == nil {
		return echo.ErrNotFound
	}
	s.o.Metrics.ServeHTTP(e.Response(), e.Request())
	return nil
}

// proxied says whether a proxy passed the request on, by any of the headers that proxies add.
func proxied(r *http.Request) bool {
	return slices.ContainsFunc([]string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip", "X-Forwarded-Host", "X-Forwarded-Proto"}, func(name string) bool {
		return r.Header.Get(name) != ""
	})
}
