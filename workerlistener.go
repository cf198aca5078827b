package main

import (
	"net"
	"sync"
	"sync/atomic"
)

// maxWorkerConns is how many connections one worker may hold to its AWS endpoint: an SDK keeps up to 50.
const maxWorkerConns = 64

// boundedListener closes connections above maxWorkerConns at once: hostile code must not use up the server's file descriptors.
type boundedListener struct {
	net.Listener
	open atomic.Int32
}

// Accept waits for a connection within the bound.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= maxWorkerConns {
			return &countedConn{Conn: c, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = c.Close() // nothing was said on it
	}
}

// countedConn gives its place back when it closes.
type countedConn struct {
	net.Conn
	closed func()
}

// Close closes the connection, once or more often.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
