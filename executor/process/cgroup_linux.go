package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"
)

// cgroupTree is the folder of cgroups that one spawner makes its boxes' in, below its own cgroup (an absolute path would escape it).
type cgroupTree struct {
	kind  string            // "v1", "hybrid", "v2"
	paths map[string]string // controller → folder; v2: "" → folder
	home  map[string]string // v1: where this process itself is
}

var controllersV1 = []string{"memory", "pids", "cpu", "cpuacct", "freezer"}

// findCgroups makes the folder name below this process's own cgroup and checks that limits can be set there.
func findCgroups(name string) (*cgroupTree, error) {
	t := &cgroupTree{kind: "v1", paths: map[string]string{}, home: map[string]string{}}
	var err error
	switch {
	case cgroups.IsCgroup2UnifiedMode():
		t.kind = "v2"
		err = t.findV2(name)
	case cgroups.IsCgroup2HybridMode():
		t.kind = "hybrid"
		err = t.findV1(name)
	default:
		err = t.findV1(name)
	}
	if err != nil {
		return nil, err
	}
	probe, err := t.make("probe", 64)
	if err != nil {
		t.remove()
		return nil, err
	}
	return t, probe.destroy()
}

func (t *cgroupTree) findV1(name string) error {
	for _, c := range controllersV1 {
		own, err := cgroups.GetOwnCgroupPath(c)
		if err != nil {
			if c == "memory" || c == "pids" {
				return fmt.Errorf("cgroup controller %s: %w", c, err)
			}
			continue
		}
		t.home[c], t.paths[c] = own, filepath.Join(own, name)
	}
	return nil
}

// findV2 obeys the rule that a cgroup with processes has no controllers for its children: when this process's cgroup is not empty,
// its processes (Kiln's own, or a container's) move to a leaf beside the boxes'.
func (t *cgroupTree) findV2(name string) error {
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("own cgroup: %w", err)
	}
	base := filepath.Join("/sys/fs/cgroup", own[""])
	base = strings.TrimSuffix(base, "/"+leafName)
	if err := enableControllers(base); err != nil {
		if err := moveToLeaf(base); err != nil {
			return err
		}
		if err := enableControllers(base); err != nil {
			return err
		}
	}
	t.paths[""] = filepath.Join(base, name)
	if err := os.MkdirAll(t.paths[""], 0o755); err != nil {
		return fmt.Errorf("make the boxes' cgroup: %w", err)
	}
	return enableControllers(t.paths[""])
}

const leafName = "kiln-server"

func enableControllers(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0); err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	return nil
}

func moveToLeaf(base string) error {
	leaf := filepath.Join(base, leafName)
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return fmt.Errorf("make a leaf cgroup: %w", err)
	}
	pids, err := os.ReadFile(filepath.Join(base, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("own cgroup's processes: %w", err)
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(pid), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("move process %s to a leaf cgroup: %w", pid, err)
		}
	}
	return nil
}

func (t *cgroupTree) v2() bool { return t.kind == "v2" }

func (t *cgroupTree) has(controller string) bool {
	if t.v2() {
		return true
	}
	return t.paths[controller] != ""
}

// remove takes the folder away when no box is left in it.
func (t *cgroupTree) remove() {
	for _, p := range t.paths {
		_ = unix.Rmdir(p) // one in use stays, and the next spawner takes it
	}
}

// boxCgroup is one box's.
type boxCgroup struct {
	tree  *cgroupTree
	m     cgroups.Manager
	paths map[string]string
}

func (t *cgroupTree) make(name string, memoryMB int) (*boxCgroup, error) {
	paths := map[string]string{}
	for c, p := range t.paths {
		paths[c] = filepath.Join(p, name)
	}
	pids := int64(maxProcesses)
	res := &cgroups.Resources{Memory: int64(memoryMB) << 20, PidsLimit: &pids, SkipDevices: true}
	if t.swapCounted() {
		res.MemorySwap = res.Memory
	}
	m, err := manager.NewWithPaths(&cgroups.Cgroup{Name: name, Resources: res}, paths)
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	c := &boxCgroup{tree: t, m: m, paths: paths}
	if err := m.Apply(-1); err != nil {
		return nil, errors.Join(fmt.Errorf("make cgroup: %w", err), c.destroy())
	}
	if err := m.Set(res); err != nil {
		return nil, errors.Join(fmt.Errorf("set cgroup limits: %w", err), c.destroy())
	}
	return c, nil
}

func (t *cgroupTree) swapCounted() bool {
	if t.v2() {
		return true
	}
	return cgroups.PathExists(filepath.Join(filepath.Dir(t.paths["memory"]), "memory.memsw.limit_in_bytes"))
}

// enter puts the calling thread, or the children that it starts with attr, into the cgroup until leave is called.
// Under v1 a thread that moves itself takes no global lock; moving the child afterwards would wait for one in each controller (1 ms and more).
func (c *boxCgroup) enter(attr *syscall.SysProcAttr) (leave func() error, err error) {
	if c.tree.v2() {
		fd, err := unix.Open(c.paths[""], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open the box's cgroup: %w", err)
		}
		attr.UseCgroupFD, attr.CgroupFD = true, fd
		return func() error { return unix.Close(fd) }, nil
	}
	leave = func() error { return moveSelf(c.tree.home) }
	if err := moveSelf(c.paths); err != nil {
		return nil, errors.Join(err, leave())
	}
	return leave, nil
}

func moveSelf(to map[string]string) error {
	for _, dir := range to {
		if err := os.WriteFile(filepath.Join(dir, "tasks"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// file is where the controller's file lies, by its names in v1 and v2.
func (c *boxCgroup) file(controller, v1, v2 string) string {
	if c.tree.v2() {
		return filepath.Join(c.paths[""], v2)
	}
	if c.paths[controller] == "" {
		return ""
	}
	return filepath.Join(c.paths[controller], v1)
}

// limit sets a new memory limit. It fails when more than that is in use and cannot be freed.
func (c *boxCgroup) limit(memoryMB int) error {
	res := &cgroups.Resources{Memory: int64(memoryMB) << 20, SkipDevices: true}
	if c.tree.swapCounted() {
		res.MemorySwap = res.Memory
	}
	if err := c.m.Set(res); err != nil {
		return fmt.Errorf("change the memory limit: %w", err)
	}
	return nil
}

// open opens the meters and handles that the server gets; −1 for one that this machine lacks.
func (c *boxCgroup) open(letter byte) int {
	var path string
	mode := unix.O_WRONLY
	switch letter {
	case fdUsage:
		path, mode = c.file("memory", "memory.stat", "memory.stat"), unix.O_RDONLY
	case fdPeak:
		path, mode = c.file("memory", "memory.max_usage_in_bytes", "memory.peak"), unix.O_RDONLY
	case fdTime:
		path, mode = c.file("cpuacct", "cpuacct.usage", "cpu.stat"), unix.O_RDONLY
	case fdFreezer:
		path = c.file("freezer", "freezer.state", "cgroup.freeze")
	case fdCPU:
		path = c.file("cpu", "cpu.cfs_quota_us", "cpu.max")
	}
	if path == "" {
		return -1
	}
	fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// oomKilled says whether the memory limit ended a process.
func (c *boxCgroup) oomKilled() bool {
	n, err := c.m.OOMKillCount()
	return err == nil && n > 0
}

func (c *boxCgroup) peakMB() int {
	b, err := os.ReadFile(c.file("memory", "memory.max_usage_in_bytes", "memory.peak"))
	if err != nil {
		return 0
	}
	return megabytes(b)
}

func megabytes(b []byte) int {
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return int((n + 1<<20 - 1) >> 20)
}

// anonymousMB sums what a memory.stat says that cannot be dropped: anonymous and shared memory, the page cache left out.
func anonymousMB(stat []byte) int {
	var total int64
	lines := bufio.NewScanner(bytes.NewReader(stat))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == "rss" || name == "anon" || name == "shmem" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil {
				total += n
			}
		}
	}
	return int((total + 1<<20 - 1) >> 20)
}

// thaw lets frozen processes die: under v1 a kill waits until then.
func thaw(paths map[string]string) {
	if p := paths["freezer"]; p != "" {
		_ = os.WriteFile(filepath.Join(p, "freezer.state"), []byte("THAWED"), 0) // it may be gone already
	}
	if p := paths[""]; p != "" {
		_ = os.WriteFile(filepath.Join(p, "cgroup.freeze"), []byte("0"), 0) // it may be gone already
	}
}

func (c *boxCgroup) destroy() error {
	left := map[string]string{}
	for k, v := range c.paths {
		left[k] = v
	}
	if err := cgroups.RemovePaths(left); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}
