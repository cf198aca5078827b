package process

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// wire is one end of a SOCK_SEQPACKET socket: a packet is a message, and descriptors travel with it.
type wire struct {
	c  *net.UnixConn
	mu sync.Mutex // one writer at a time
}

// newWire takes over f.
func newWire(f *os.File) (*wire, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("control socket is %T", c)
	}
	return &wire{c: u}, nil
}

// socketpair makes a connected pair; kind is unix.SOCK_SEQPACKET or unix.SOCK_STREAM.
func socketpair(kind int) (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

func (w *wire) send(b []byte, fds ...int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _, err := w.c.WriteMsgUnix(b, oob, nil)
	return err
}

func (w *wire) sendJSON(v any, fds ...int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.send(b, fds...)
}

// recv reads one packet into b. With maxFds 0 the kernel drops any descriptor that was sent along.
func (w *wire) recv(b []byte, maxFds int) (n int, fds []int, err error) {
	var oob []byte
	if maxFds > 0 {
		oob = make([]byte, unix.CmsgSpace(4*maxFds))
	}
	n, on, _, _, err := w.c.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, nil, err
	}
	return n, parseFds(oob[:on]), nil
}

func parseFds(oob []byte) (fds []int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		if got, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

func closeFds(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func (w *wire) close() { w.c.Close() }
