package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The descriptors of a box's first program; 0 to 2 are /dev/null and the output pipes.
const (
	initChannel = 3
	initRecords = 4
	initStatus  = 5
)

// status is what a box's first program says on its status socket before it becomes the runtime.
// Its listeners come as descriptors with Ready. The socket closes without a word when the runtime's program has started.
type status struct {
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
	Exec  bool   `json:"exec,omitempty"` // the error is that the runtime's program could not be started
}

// execError says that the runtime's own program is missing or cannot run.
type execError struct{ err error }

func (e execError) Error() string { return e.err.Error() }
func (e execError) Unwrap() error { return e.err }

// boxMain runs inside the new namespaces with all rights there, builds the box, gives up the rights and becomes the runtime.
func boxMain() int {
	runtime.LockOSThread()
	unix.CloseOnExec(initStatus)
	w, err := newWire(os.NewFile(initStatus, "status"))
	if err != nil {
		return 111
	}
	err = becomeRuntime(w)
	_, isExec := errors.AsType[execError](err)
	if sendErr := w.sendJSON(status{Error: err.Error(), Exec: isExec}); sendErr != nil {
		return 112
	}
	return 111
}

func becomeRuntime(w *wire) error {
	conf, fds, err := receiveConf(w)
	if err != nil {
		return err
	}
	if err := buildRoot(conf, fds); err != nil {
		return err
	}
	if err := bringUpLoopback(); err != nil {
		return err
	}
	listeners, err := listenInside(conf.DNS)
	if err != nil {
		return err
	}
	if err := w.sendJSON(status{Ready: true}, listeners...); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	closeFds(listeners)
	if _, _, err := w.recv(make([]byte, 8), 0); err != nil { // the spawner has what it needs of this process
		return fmt.Errorf("wait for the go: %w", err)
	}
	filter, err := buildFilter()
	if err != nil {
		return err
	}
	if err := limitSelf(conf); err != nil {
		return err
	}
	if err := dropRights(conf); err != nil {
		return err
	}
	if err := checkParent(w); err != nil {
		return err
	}
	first := uint(initStatus)
	if conf.Bare {
		first = initChannel
	}
	if err := unix.CloseRange(first, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	if err := loadFilter(filter); err != nil {
		return err
	}
	return execError{fmt.Errorf("start %s: %w", conf.Argv[0], rawExec(conf.Argv, conf.Env))}
}

func receiveConf(w *wire) (*boxConf, []int, error) {
	buf := make([]byte, 256<<10)
	n, fds, err := w.recv(buf, 200)
	if err != nil {
		return nil, nil, fmt.Errorf("receive the configuration: %w", err)
	}
	conf := &boxConf{}
	if err := json.Unmarshal(buf[:n], conf); err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(fds) != len(conf.Mounts) {
		return nil, nil, fmt.Errorf("%d descriptors for %d mounts", len(fds), len(conf.Mounts))
	}
	return conf, fds, nil
}

// buildRoot makes a new root on a tmpfs, moves the mounts into it, and leaves the host's tree for good.
func buildRoot(conf *boxConf, fds []int) error {
	root := conf.Root
	unix.Umask(0o022)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=2m,mode=755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, d := range []string{"/proc", "/dev", "/tmp", "/etc", "/var/task", "/var/runtime", "/opt", "/sys/fs/cgroup"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return err
		}
	}
	for _, step := range []func(*boxConf, string) error{makeLinks, makeFiles, mountProc, mountDev} {
		if err := step(conf, root); err != nil {
			return err
		}
	}
	if err := mountTmp(conf, root); err != nil { // before what may lie below it: a runtime in a data folder under /tmp
		return err
	}
	for i, m := range conf.Mounts {
		if err := attachIn(root, m, fds[i]); err != nil {
			return err
		}
		unix.Close(fds[i])
	}
	return enterRoot(root)
}

func makeLinks(conf *boxConf, root string) error {
	for at, to := range conf.Links {
		if err := os.Symlink(to, root+at); err != nil {
			return err
		}
	}
	return nil
}

func makeFiles(conf *boxConf, root string) error {
	for at, text := range conf.Files {
		if err := os.MkdirAll(filepath.Dir(root+at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(root+at, []byte(text), 0o444); err != nil {
			return err
		}
	}
	return nil
}

// What /proc shows beyond processes is covered or read-only, as container engines do.
var (
	procCovered  = []string{"kcore", "keys", "timer_list", "sched_debug", "kallsyms", "interrupts", "latency_stats", "kmsg", "cmdline", "modules", "partitions", "diskstats"}
	procReadOnly = []string{"sys", "irq", "bus", "fs", "sysrq-trigger"}
)

func mountProc(_ *boxConf, root string) error {
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, name := range procCovered {
		at := root + "/proc/" + name
		if _, err := os.Stat(at); err != nil {
			continue
		}
		if err := unix.Mount("/dev/null", at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover /proc/%s: %w", name, err)
		}
	}
	for _, name := range procReadOnly {
		at := root + "/proc/" + name
		if _, err := os.Stat(at); err != nil {
			continue
		}
		fd, err := cloneTree(unix.AT_FDCWD, at, attrReadOnly|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return err
		}
		if err := attach(fd, at); err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
}

var devLinks = map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}

func mountDev(_ *boxConf, root string) error {
	dev := root + "/dev"
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "size=64k,mode=755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for name, to := range devLinks {
		if err := os.Symlink(to, dev+"/"+name); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dev+"/shm", 0o755); err != nil {
		return err
	}
	opts := fmt.Sprintf("size=%dm,mode=1777,nr_inodes=4096", shmMB)
	if err := unix.Mount("tmpfs", dev+"/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, opts); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return nil
}

func attachIn(root string, m boxMount, fd int) error {
	at := root + m.At
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	if _, err := os.Lstat(at); err != nil {
		if m.Dir {
			err = os.Mkdir(at, 0o755)
		} else {
			err = os.WriteFile(at, nil, 0o444)
		}
		if err != nil {
			return fmt.Errorf("make the mount point %s: %w", m.At, err)
		}
	}
	return attach(fd, at)
}

func mountTmp(conf *boxConf, root string) error {
	if conf.TmpMB == 0 {
		return nil
	}
	opts := fmt.Sprintf("size=%dm,mode=1777,nr_inodes=65536", conf.TmpMB)
	if err := unix.Mount("tmpfs", root+"/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		return fmt.Errorf("mount /tmp: %w", err)
	}
	return nil
}

// enterRoot makes root the root, takes the old one away and closes the new one (and /dev) for writing.
func enterRoot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's tree: %w", err)
	}
	for _, at := range []string{"/", "/dev"} {
		if err := unix.MountSetattr(unix.AT_FDCWD, at, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("close %s for writing: %w", at, err)
		}
	}
	return unix.Chdir("/var/task")
}

func bringUpLoopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	return unix.Sethostname([]byte("localhost"))
}

// listenInside opens the Runtime API's and the AWS endpoint's sockets in the box's own network namespace; the server accepts on them.
func listenInside(dns bool) ([]int, error) {
	type socket struct{ kind, port int }
	list := []socket{{unix.SOCK_STREAM, 9001}, {unix.SOCK_STREAM, 9002}}
	if dns {
		list = append(list, socket{unix.SOCK_DGRAM, 53}, socket{unix.SOCK_STREAM, 53})
	}
	var fds []int
	for _, s := range list {
		fd, err := unix.Socket(unix.AF_INET, s.kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("listen inside: %w", err)
		}
		addr := &unix.SockaddrInet4{Port: s.port, Addr: [4]byte{127, 0, 0, 1}}
		err = unix.Bind(fd, addr)
		if err == nil && s.kind == unix.SOCK_STREAM {
			err = unix.Listen(fd, 128)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on port %d inside: %w", s.port, err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func limitSelf(conf *boxConf) error {
	if conf.CgroupRoot {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("cgroup namespace: %w", err)
		}
	}
	// When the whole machine runs out of memory, functions go before the database.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0); err != nil && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("oom_score_adj: %w", err)
	}
	// A core limit of 1 also keeps the kernel from piping a crash to the host's handler, which runs as root; 0 does not.
	limits := map[int]uint64{unix.RLIMIT_CORE: 1, unix.RLIMIT_NOFILE: openFiles, unix.RLIMIT_MEMLOCK: 64 << 10, unix.RLIMIT_MSGQUEUE: 0}
	if conf.DataMB > 0 {
		limits[unix.RLIMIT_DATA] = uint64(conf.DataMB) << 20
	}
	if conf.Processes > 0 {
		limits[unix.RLIMIT_NPROC] = uint64(conf.Processes)
	}
	for what, n := range limits {
		if err := unix.Prlimit(0, what, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
			return fmt.Errorf("rlimit %d to %s: %w", what, strconv.FormatUint(n, 10), err)
		}
	}
	return nil
}

func dropRights(conf *boxConf) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if conf.UID != 0 {
		err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(conf.UID, conf.UID, conf.UID), syscall.Setresuid(conf.UID, conf.UID, conf.UID))
		if err != nil {
			return fmt.Errorf("become uid %d: %w", conf.UID, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no-new-privs: %w", err)
	}
	if _, err := unix.Setsid(); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("setsid: %w", err)
	}
	// A change of uid clears the parent-death signal: arm it again.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("parent-death signal: %w", err)
	}
	return nil
}

// checkParent ends the box when the spawner died before the parent-death signal was armed.
func checkParent(w *wire) error {
	raw, err := w.c.SyscallConn()
	if err != nil {
		return err
	}
	var gone bool
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, pollErr := unix.Poll(p, 0)
		gone = pollErr == nil && n > 0
	})
	if gone {
		return errors.New("the spawner is gone")
	}
	return err
}

// rawExec is execve without Go's own bookkeeping, which the filter would not like.
func rawExec(argv []string, env [][]byte) error {
	path, err := syscall.BytePtrFromString(argv[0])
	if err != nil {
		return err
	}
	av, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return err
	}
	ev := make([]*byte, 0, len(env)+1)
	for _, kv := range env {
		ev = append(ev, &append(kv, 0)[0])
	}
	ev = append(ev, nil)
	_, _, e := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&av[0])), uintptr(unsafe.Pointer(&ev[0])))
	return e
}
