package process

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kiln/executor/runtimes"
)

// boxConf is all that a box's first program is told. Mount i of Mounts comes as descriptor i of the packet.
type boxConf struct {
	Root       string // a folder of the host to build the root on
	UID        int    // uid and gid to become; 0 keeps the one that the user namespace gave
	ShownUID   int    // for /etc/passwd
	Mounts     []boxMount
	Links      map[string]string
	Files      map[string]string
	TmpMB      int // size of a tmpfs at /tmp; 0 when Mounts has one
	DataMB     int // RLIMIT_DATA where no cgroup holds the memory; 0 for none
	Argv       []string
	Env        [][]byte // NAME=value; bytes, because JSON would change what is not UTF-8
	Processes  int      // RLIMIT_NPROC where no cgroup counts; 0 for none
	CgroupRoot bool
	DNS        bool // open the name server's sockets
	Bare       bool // no channel and no records: the runtime speaks the Runtime API
}

type boxMount struct {
	At  string // absolute, inside the box
	Dir bool
}

const (
	maxProcesses = 1024
	openFiles    = 1024
	shmMB        = 64
	boxUserID    = 1000 // on rung B, inside the user namespace
)

// hostTree is what every box sees of the host, found once.
type hostTree struct {
	paths []string          // mounted read-only at the same place
	links map[string]string // /bin → usr/bin
	bash  string            // mounted over sh, "" when sh is bash already or there is none
	sh    string
}

// Certificates, the loader's cache and the alternatives that /usr/bin points to: no other file of /etc.
var hostEtc = []string{"/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf",
	"/etc/pki/tls/certs", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted", "/etc/crypto-policies", "/etc/mime.types"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

func findHostTree() hostTree {
	t := hostTree{paths: []string{"/usr"}, links: map[string]string{}}
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if to, err := os.Readlink(d); err == nil {
			t.links[d] = to
		} else if _, err := os.Stat(d); err == nil {
			t.paths = append(t.paths, d)
		}
	}
	for _, p := range hostEtc {
		if _, err := os.Stat(p); err == nil {
			t.paths = append(t.paths, p)
		}
	}
	t.findShell()
	return t
}

// findShell makes /bin/sh behave like bash, as on AWS: custom bootstraps rely on it. A busybox sh is left alone, it is many programs.
func (t *hostTree) findShell() {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil || filepath.Base(sh) == "busybox" {
		return
	}
	bash, err := filepath.EvalSymlinks("/bin/bash")
	if err == nil && bash != sh {
		t.bash, t.sh = bash, sh
	}
}

// boxFiles are the files that the box has of its own.
func boxFiles(uid, memoryMB int) map[string]string {
	limit := fmt.Sprintf("%d\n", int64(memoryMB)<<20)
	return map[string]string{
		"/etc/passwd":        fmt.Sprintf("root:x:0:0:root:/:/bin/false\nsbx_user1051:x:%d:%d::/tmp:/bin/sh\n", uid, uid),
		"/etc/group":         fmt.Sprintf("root:x:0:\nsbx_user1051:x:%d:\n", uid),
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/resolv.conf":   "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n",
		// V8 and others size their heaps by the cgroup's limit, which they look for here.
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":      limit,
		"/sys/fs/cgroup/memory/memory.soft_limit_in_bytes": limit,
		"/sys/fs/cgroup/memory.max":                        limit,
		"/sys/fs/cgroup/memory.high":                       limit,
	}
}

// mountPlan collects mounts and the descriptors that hold them.
type mountPlan struct {
	mounts []boxMount
	fds    []int
}

func (p *mountPlan) close() { closeFds(p.fds) }

func (p *mountPlan) add(at string, dir bool, fd int) {
	p.mounts = append(p.mounts, boxMount{At: at, Dir: dir})
	p.fds = append(p.fds, fd)
}

// host mounts a path of the host at the same path, or at another.
func (p *mountPlan) host(path, at string, attr uint64) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("host path: %w", err)
	}
	fd, err := cloneTree(unix.AT_FDCWD, path, attr)
	if err != nil {
		return err
	}
	p.add(at, info.IsDir(), fd)
	return nil
}

func (p *mountPlan) hostTree(t hostTree) error {
	for _, path := range t.paths {
		if err := p.host(path, path, attrReadOnly); err != nil {
			return err
		}
	}
	if t.bash != "" {
		if err := p.host(t.bash, t.sh, attrReadOnly); err != nil {
			return err
		}
	}
	for _, dev := range devices {
		if err := p.host(dev, dev, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC); err != nil {
			return err
		}
	}
	return nil
}

// runtimePrefix mounts the folder that a runtime lives in. What lies in the data folder was written by the server: no link is followed.
// Elsewhere the path is the host's own, but never one of the folders that hold more than a program.
func (p *mountPlan) runtimePrefix(rt runtimes.Runtime, data string, dataFd int) error {
	prefix := filepath.Clean(rt.Prefix)
	if rt.Prefix == "" || below(prefix, "/usr") {
		return nil
	}
	if !filepath.IsAbs(prefix) || !below(filepath.Clean(rt.Binary), prefix) {
		return fmt.Errorf("runtime %s: %s is not inside %s", rt.Name, rt.Binary, prefix)
	}
	if below(prefix, data) {
		return p.dataPrefix(prefix, data, dataFd)
	}
	if below(data, prefix) || tooWide(prefix) {
		return fmt.Errorf("runtime %s: the folder %s holds too much to be shown to functions", rt.Name, prefix)
	}
	return p.host(prefix, prefix, attrReadOnly)
}

func (p *mountPlan) dataPrefix(prefix, data string, dataFd int) error {
	rel, err := filepath.Rel(data, prefix)
	if err != nil || !below(prefix, filepath.Join(data, "runtimes")) || rel == "runtimes" {
		return fmt.Errorf("a runtime outside the runtimes folder: %s", prefix)
	}
	fd, err := cloneBeneath(dataFd, rel, attrReadOnly)
	if err != nil {
		return err
	}
	p.add(prefix, true, fd)
	return nil
}

func tooWide(prefix string) bool {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/etc", "/run", "/boot"} {
		if below(prefix, dir) {
			return true
		}
	}
	for _, dir := range []string{"/root", "/home", "/var/lib", "/opt", "/srv", "/tmp", "/mnt"} {
		if below(dir, prefix) {
			return true
		}
	}
	return filepath.Dir(prefix) == "/home"
}
