package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// sandbox is a running box as the server sees it: its descriptors.
type sandbox struct {
	d       *Driver
	box     uint64
	id      string
	cgroups string
	ch      net.Conn
	pipes   map[byte]*os.File
	meters  map[byte]*os.File
	ls      map[byte]net.Listener
	dns     net.PacketConn // on 127.0.0.1:53 inside; nil without a network

	stopping atomic.Bool
	once     sync.Once
	exited   chan struct{}
	exit     runner.Exit
}

var (
	_ runner.Sandbox   = (*sandbox)(nil)
	_ runner.PreBooter = (*sandbox)(nil)
	_ runner.Throttler = (*sandbox)(nil)
	_ runner.Freezer   = (*sandbox)(nil)
	_ runner.CPUMeter  = (*sandbox)(nil)
	_ runner.Driver    = (*Driver)(nil)
)

// newSandbox takes over the descriptors of a; the driver's lock is held.
func newSandbox(d *Driver, a answer) (*sandbox, error) {
	b := &sandbox{d: d, box: a.Box, cgroups: d.caps.Cgroups, exited: make(chan struct{}),
		pipes: map[byte]*os.File{}, meters: map[byte]*os.File{}, ls: map[byte]net.Listener{}}
	if len(a.fds) != len(a.Fds) {
		closeFds(a.fds)
		return nil, fmt.Errorf("%d descriptors for %q", len(a.fds), a.Fds)
	}
	var all error
	for i, fd := range a.fds {
		all = errors.Join(all, b.take(a.Fds[i], fd))
	}
	return b, all
}

func (b *sandbox) take(letter byte, fd int) (err error) {
	switch letter {
	case fdRecords, fdStdout, fdStderr:
		err = unix.SetNonblock(fd, true)
		b.pipes[letter] = os.NewFile(uintptr(fd), "pipe")
	case fdUsage, fdPeak, fdFreezer, fdCPU, fdTime:
		b.meters[letter] = os.NewFile(uintptr(fd), "meter")
	case fdChannel:
		f := os.NewFile(uintptr(fd), "channel")
		defer f.Close()
		b.ch, err = net.FileConn(f)
	case fdDNS:
		f := os.NewFile(uintptr(fd), "dns")
		defer f.Close()
		b.dns, err = net.FilePacketConn(f)
	case fdAPI, fdAWS, fdDNSTCP:
		f := os.NewFile(uintptr(fd), "listener")
		defer f.Close()
		b.ls[letter], err = net.FileListener(f)
	default:
		err = errors.Join(fmt.Errorf("descriptor %q", letter), unix.Close(fd))
	}
	return err
}

func (b *sandbox) ID() string { return b.id }

func (b *sandbox) Channel() net.Conn { return b.ch }

func (b *sandbox) Records() io.ReadCloser {
	if f := b.pipes[fdRecords]; f != nil {
		return f
	}
	return nil
}

func (b *sandbox) Stdout() io.ReadCloser { return b.pipes[fdStdout] }

func (b *sandbox) Stderr() io.ReadCloser { return b.pipes[fdStderr] }

func (b *sandbox) RuntimeAPI() net.Listener { return b.ls[fdAPI] }

func (b *sandbox) AWS() net.Listener { return b.ls[fdAWS] }

// PeakMemoryMB is the most memory that the box has used, as the kernel counts it.
func (b *sandbox) PeakMemoryMB() int {
	select {
	case <-b.exited:
		return b.exit.PeakMemoryMB
	default:
	}
	return megabytes(b.meter(fdPeak))
}

// MemoryMB is the memory in use that cannot be dropped: the page cache is left out.
func (b *sandbox) MemoryMB() int { return anonymousMB(b.meter(fdUsage)) }

// CPU is the processor time used so far: of everything inside, or without a cgroup of the first process.
func (b *sandbox) CPU() time.Duration {
	text := strings.TrimSpace(string(b.meter(fdTime)))
	switch b.cgroups {
	case "":
		return statTime(text)
	case "v2":
		for line := range strings.SplitSeq(text, "\n") {
			if us, ok := strings.CutPrefix(line, "usage_usec "); ok {
				return time.Duration(number(us)) * time.Microsecond
			}
		}
		return 0
	}
	return time.Duration(number(text))
}

// statTime adds user and system time of a /proc/<pid>/stat; the kernel counts both in hundredths of a second.
func statTime(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	return time.Duration(number(fields[11])+number(fields[12])) * 10 * time.Millisecond
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (b *sandbox) meter(letter byte) []byte {
	f := b.meters[letter]
	if f == nil {
		return nil
	}
	buf := make([]byte, 8<<10)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return buf[:n]
}

func (b *sandbox) Exited() <-chan struct{} { return b.exited }

func (b *sandbox) Exit() runner.Exit { return b.exit }

// ended closes what only a living box needs; the pipes stay for their readers.
func (b *sandbox) ended(e runner.Exit) {
	b.once.Do(func() {
		b.exit = e
		for _, l := range b.ls {
			l.Close()
		}
		if b.dns != nil {
			b.dns.Close()
		}
		close(b.exited)
		for _, f := range b.meters {
			f.Close()
		}
	})
}

// closeAll closes everything, for a box that nobody reads.
func (b *sandbox) closeAll() error {
	var err error
	if b.ch != nil {
		err = b.ch.Close()
	}
	for _, p := range b.pipes {
		err = errors.Join(err, p.Close())
	}
	return err
}

func (b *sandbox) Stop(ctx context.Context) error {
	select {
	case <-b.exited:
		return nil
	default:
	}
	b.stopping.Store(true)
	if _, err := b.d.ask(ctx, &request{Op: opKill, Box: b.box}); err != nil && ctx.Err() != nil {
		return fmt.Errorf("stop the sandbox: %w", err)
	}
	select {
	case <-b.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the sandbox: %w", ctx.Err())
	}
}

// HandOver mounts the function's code, layers and /tmp, and lowers the memory limit. It works once.
func (b *sandbox) HandOver(ctx context.Context, h runner.HandOver) error {
	_, err := b.d.ask(ctx, &request{Op: opHandOver, Box: b.box, Code: h.Code, Layers: h.Layers, MemoryMB: h.MemoryMB, EphemeralMB: h.EphemeralMB, Network: &h.Network})
	if err != nil {
		return fmt.Errorf("hand the sandbox over: %w", err)
	}
	b.serveDNS(h.Network)
	return nil
}

// serveDNS begins to answer the box's questions; the sockets are closed with the box, which ends it.
func (b *sandbox) serveDNS(allow runner.Network) {
	if b.dns != nil && b.ls[fdDNSTCP] != nil {
		newResolver(allow, b.d.opts.Log).serve(b.dns, b.ls[fdDNSTCP])
	}
}

// cpuPeriod is the kernel's accounting period in microseconds.
const cpuPeriod = 100_000

func (b *sandbox) Throttle(milliCPU int) error {
	if milliCPU > 0 {
		milliCPU = max(milliCPU, 10) // the kernel's smallest quota is 1 ms of a period
	}
	quota := "-1"
	if b.cgroups == "v2" {
		quota = fmt.Sprintf("max %d", cpuPeriod)
	}
	if milliCPU > 0 {
		quota = fmt.Sprint(milliCPU * cpuPeriod / 1000)
	}
	return b.write(fdCPU, quota)
}

func (b *sandbox) Freeze() error {
	if b.stopping.Load() {
		return nil // a frozen box would not die
	}
	return b.write(fdFreezer, map[bool]string{false: "FROZEN", true: "1"}[b.cgroups == "v2"])
}

func (b *sandbox) Thaw() error {
	return b.write(fdFreezer, map[bool]string{false: "THAWED", true: "0"}[b.cgroups == "v2"])
}

// write sets a handle; where the rung has none it does nothing.
func (b *sandbox) write(letter byte, value string) error {
	f := b.meters[letter]
	if f == nil {
		return nil
	}
	select {
	case <-b.exited:
		return nil
	default:
	}
	if _, err := f.WriteAt([]byte(value), 0); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("write %s to the sandbox's cgroup: %w", value, err)
	}
	return nil
}
