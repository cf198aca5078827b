package process

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// embryo is a box's first program in its namespaces and its cgroup, before it is told what to become.
type embryo struct {
	name  string // of its cgroup and its note
	pid   int    // 0 before the start and after the end
	pidfd int
	cg    *boxCgroup
	link  int // its number in the spawner's network; −1 for none
}

// nursery keeps a few embryos ready: starting this program takes 8 ms of processor time, which no function should wait for.
type nursery struct {
	ready   chan *unborn
	closing chan struct{}
	filling sync.WaitGroup
}

type unborn struct {
	embryo
	pipes *pipes
}

const readyEmbryos = 2

// embryoMB is an embryo's memory limit until it becomes a box.
const embryoMB = 128

func (s *spawner) openNursery() {
	s.nursery = &nursery{ready: make(chan *unborn, readyEmbryos), closing: make(chan struct{})}
	s.nursery.filling.Go(func() {
		for {
			u, err := s.conceive()
			if err != nil {
				s.log.Error("prepare a box", "err", err)
				return // boxes make their own, and meet the error
			}
			select {
			case s.nursery.ready <- u:
			case <-s.nursery.closing:
				s.abort(u)
				return
			}
		}
	})
}

func (s *spawner) closeNursery() {
	if s.nursery == nil {
		return
	}
	close(s.nursery.closing)
	s.nursery.filling.Wait()
	close(s.nursery.ready)
	for u := range s.nursery.ready {
		s.abort(u)
	}
}

// take gives a ready embryo, or makes one.
func (s *spawner) take() (*unborn, error) {
	if s.nursery != nil {
		select {
		case u := <-s.nursery.ready:
			return u, nil
		default:
		}
	}
	return s.conceive()
}

// conceive makes an embryo. On an error nothing of it remains.
func (s *spawner) conceive() (*unborn, error) {
	p, err := newPipes()
	if err != nil {
		return nil, err
	}
	u := &unborn{pipes: p, embryo: embryo{name: s.newName(), link: -1}}
	if s.cg != nil {
		if u.cg, err = s.cg.make(u.name, embryoMB); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	if err := s.clone(u); err != nil {
		err = errors.Join(err, p.close())
		if u.cg != nil {
			err = errors.Join(err, u.cg.destroy())
		}
		return nil, err
	}
	p.closeTheirs()
	err = s.note(&u.embryo)
	if err == nil && s.net != nil {
		u.link, err = s.net.connect(u.pid)
	}
	if err != nil {
		s.abort(u)
		return nil, err
	}
	return u, nil
}

func (s *spawner) abort(u *unborn) {
	b := &box{embryo: u.embryo, mntns: -1}
	b.kill()
	s.bury(b)
	if err := u.pipes.close(); err != nil {
		s.log.Error("drop a box", "err", err)
	}
}

// adopt makes the embryo the box's, unless the box was stopped before.
func (s *spawner) adopt(b *box, u *unborn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return errStopped
	}
	if u.cg != nil {
		if err := u.cg.limit(s.cgroupMB(b.memoryMB, b.tmpMB)); err != nil {
			return err
		}
	}
	b.embryo = u.embryo
	return nil
}

// clone starts the first program in its namespaces and its cgroup.
func (s *spawner) clone(u *unborn) error {
	t := u.pipes.theirs
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off"},
		Files: []uintptr{uintptr(s.null), uintptr(t[0]), uintptr(t[1]), uintptr(t[2]), uintptr(t[3]), uintptr(t[4])},
		Sys:   s.cloneAttr(&u.pidfd)}
	return s.forks.do(func() error {
		if u.cg != nil {
			leave, err := u.cg.enter(attr.Sys)
			if err != nil {
				return err
			}
			defer func() {
				if err := leave(); err != nil {
					s.log.Error("leave a box's cgroup", "err", err)
				}
			}()
		}
		pid, _, err := syscall.StartProcess("/proc/self/exe", []string{"kiln", "spawner", "box"}, attr)
		if err != nil {
			return fmt.Errorf("clone: %w", err)
		}
		u.pid = pid
		return nil
	})
}

func (s *spawner) cloneAttr(pidfd *int) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{PidFD: pidfd, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	if s.cfg.Rung != runner.RungB {
		return sys
	}
	sys.Cloneflags |= syscall.CLONE_NEWUSER
	sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: boxUserID, HostID: 0, Size: 1}}
	sys.GidMappings = sys.UidMappings
	sys.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP}
	return sys
}
