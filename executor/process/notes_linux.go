package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// note is what the spawner writes down of a living box, for a spawner after it: a pid with its start time (pids are used again)
// and the folders of its cgroup.
type note struct {
	Pid     int
	Born    string
	Cgroups map[string]string
}

func (s *spawner) note(b *embryo) error {
	n := note{Pid: b.pid, Born: bornAt(b.pid)}
	if b.cg != nil {
		n.Cgroups = b.cg.paths
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.notePath(b.name), text, 0o600); err != nil {
		return fmt.Errorf("note the box: %w", err)
	}
	return nil
}

func (s *spawner) notePath(name string) string { return filepath.Join(s.cfg.State, "boxes", name) }

func (s *spawner) unnote(name string) {
	if err := os.Remove(s.notePath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Error("remove a box's note", "err", err)
	}
}

// bornAt is the process's start time in clock ticks since boot; "" when there is none.
func bornAt(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// reap ends the boxes that notes name and that are not ours, those of a dead spawner with the same state folder, and removes their traces.
func (s *spawner) reap(ctx context.Context) error {
	left, err := s.endForeign(ctx)
	for _, name := range left {
		err = errors.Join(err, s.removeTraces(name))
	}
	return err
}

// endForeign only ends them, which is quick, and gives their notes' names. Their cgroups cannot be removed before the system's
// init has collected the dead, which may take it seconds.
func (s *spawner) endForeign(ctx context.Context) (left []string, err error) {
	entries, err := os.ReadDir(filepath.Join(s.cfg.State, "boxes"))
	if err != nil {
		return nil, fmt.Errorf("read the notes: %w", err)
	}
	for _, e := range entries {
		if s.owns(e.Name()) {
			continue
		}
		left = append(left, e.Name())
		n := s.readNote(e.Name())
		if n.Born == "" {
			continue
		}
		thaw(n.Cgroups)
		err = errors.Join(err, endProcess(ctx, n.Pid, n.Born))
	}
	return left, err
}

// readNote gives a zero note for one that is gone or was not written whole.
func (s *spawner) readNote(name string) (n note) {
	text, err := os.ReadFile(s.notePath(name))
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		return note{}
	}
	return n
}

func (s *spawner) removeTraces(name string) error {
	if err := cgroups.RemovePaths(s.readNote(name).Cgroups); err != nil {
		return fmt.Errorf("remove what box %s left: %w", name, err)
	}
	if err := os.Remove(s.notePath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// endProcess kills the process and waits until it is gone; it is not our child.
func endProcess(ctx context.Context, pid int, born string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	if bornAt(pid) != born {
		return nil // another process has the number now
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}
