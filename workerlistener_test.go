package main

import (
	"io"
	"net"
	"net/http"
	"testing"
)

func TestAWorkerCannotUseUpTheServersConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = srv.Serve(&boundedListener{Listener: l}) }()
	defer srv.Close()
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 12))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range maxWorkerConns {
		c := dial()
		defer c.Close()
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
	}
	over := dial()
	defer over.Close()
	if err := ask(over); err == nil {
		t.Error("one more is served")
	}
}
