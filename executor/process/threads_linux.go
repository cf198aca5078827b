package process

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// thread runs functions one after another on one operating-system thread that lives as long as the process.
// Children are started on one: their parent-death signal fires when the thread that started them ends, not the process.
type thread struct{ work chan func() }

func newThread() *thread {
	t := &thread{work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range t.work {
			f()
		}
	}()
	return t
}

func (t *thread) do(f func() error) error {
	done := make(chan error, 1)
	t.work <- func() { done <- f() }
	return <-done
}

// hopper moves mounts into other mount namespaces, on a thread of its own that hops there and back.
type hopper struct {
	t    *thread
	home int
}

func newHopper() (*hopper, error) {
	h := &hopper{t: newThread()}
	err := h.t.do(func() (err error) {
		if h.home, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open the mount namespace: %w", err)
		}
		return unix.Unshare(unix.CLONE_FS) // setns needs a thread with its own working folder
	})
	return h, err
}

// mountIn moves detached mounts to their places in the namespace ns.
func (h *hopper) mountIn(ns int, plan *mountPlan) error {
	return h.t.do(func() error {
		if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the box: %w", err)
		}
		var err error
		for i, m := range plan.mounts {
			if err = attach(plan.fds[i], m.At); err != nil {
				break
			}
		}
		if back := unix.Setns(h.home, unix.CLONE_NEWNS); back != nil {
			// This thread would go on in a function's file system: nothing it does later can be trusted.
			panic("return from the box's mount namespace: " + back.Error())
		}
		return err
	})
}
