package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// start makes a box in the background and answers with its descriptors; when the box has ended, it tells that.
func (s *spawner) start(q *request) {
	s.booting.Add(1)
	b, err := s.reserve(q)
	if err != nil {
		s.answer(doneReply(q.Seq, err))
		s.booting.Done()
		return
	}
	go func() {
		defer s.booting.Done()
		s.life(b, q)
	}()
}

// life is a box from start to end.
func (s *spawner) life(b *box, q *request) {
	p, err := s.bootRuntime(b, q)
	if err != nil {
		s.forget(b)
		s.answer(doneReply(q.Seq, err))
		return
	}
	letters, fds := p.list()
	s.answer(reply{Say: sayStarted, Seq: q.Seq, Box: b.id, Fds: letters}, fds...)
	p.close()
	exit := s.bury(b)
	s.forget(b)
	s.answer(reply{Say: sayExited, Box: b.id, Exit: exit})
}

func (p *pipes) list() (letters string, fds []int) {
	for _, l := range []byte{fdChannel, fdRecords, fdStdout, fdStderr, fdAPI, fdAWS, fdUsage, fdPeak, fdFreezer, fdCPU, fdTime, fdDNS, fdDNSTCP} {
		if fd, ok := p.ours[l]; ok && fd >= 0 {
			letters += string(l)
			fds = append(fds, fd)
		}
	}
	return letters, fds
}

// reserve gives the box a slot, so that a kill finds it from now on.
func (s *spawner) reserve(q *request) (*box, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes[q.Box] != nil {
		return nil, fmt.Errorf("box %d exists", q.Box)
	}
	for slot := range s.slots {
		if s.slots[slot] {
			continue
		}
		s.slots[slot] = true
		b := &box{id: q.Box, slot: slot, mntns: -1, memoryMB: q.MemoryMB, tmpMB: q.EphemeralMB, uid: s.uid0 + slot}
		s.boxes[q.Box] = b
		return b, nil
	}
	return nil, lambda.E(lambda.Unavailable, "sandbox.full")
}

func (s *spawner) forget(b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.boxes, b.id)
	s.slots[b.slot] = false
}

func (s *spawner) bootRuntime(b *box, q *request) (*pipes, error) {
	s.boots <- struct{}{}
	defer func() { <-s.boots }()
	rt, err := s.find(q.Runtime, s.cfg, s.dataFd)
	if err != nil {
		return nil, err
	}
	plan := &mountPlan{}
	defer plan.close()
	if err := s.planRuntime(plan, rt); err != nil {
		return nil, err
	}
	if err := s.planCode(plan, q); err != nil {
		return nil, err
	}
	p, err := s.bootBox(b, q, argv(rt, q.Wrapper), plan, rt.Family == runtimes.Provided)
	if err == nil && rt.Family == runtimes.Provided {
		p.drop(fdChannel, fdRecords)
	}
	return p, err
}

// startBox is reserve and bootBox, for the probe.
func (s *spawner) startBox(q *request, argv []string, plan *mountPlan) (*box, *pipes, error) {
	b, err := s.reserve(q)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.bootBox(b, q, argv, plan, true)
	if err != nil {
		s.forget(b)
	}
	return b, p, err
}

// bootBox makes the box and starts argv in it. On an error nothing of it remains.
func (s *spawner) bootBox(b *box, q *request, argv []string, extra *mountPlan, bare bool) (*pipes, error) {
	plan := &mountPlan{}
	defer plan.close()
	conf, err := s.planBox(b, q, plan)
	if err != nil {
		return nil, err
	}
	conf.Argv, conf.Bare = argv, bare
	for _, kv := range q.env {
		conf.Env = append(conf.Env, []byte(kv))
	}
	all := &mountPlan{mounts: append(plan.mounts, extra.mounts...), fds: append(plan.fds, extra.fds...)}
	conf.Mounts = all.mounts
	u, err := s.take()
	if err != nil {
		return nil, err
	}
	if err := s.adopt(b, u); err != nil {
		s.abort(u)
		return nil, err
	}
	p := u.pipes
	if err := s.boot(b, p, conf, all); err != nil {
		return nil, errors.Join(s.bootFailed(b, err), p.close())
	}
	p.status.close()
	p.status = nil
	if err := s.admit(b, q); err != nil {
		return nil, errors.Join(s.bootFailed(b, err), p.close())
	}
	if q.Code != "" { // it is a function's from the start: never handed over again
		unix.Close(b.mntns)
		b.mntns = -1
	}
	s.openMeters(b, p)
	return p, nil
}

// admit opens the network of a box that is a function's.
func (s *spawner) admit(b *box, q *request) error {
	if s.net == nil || q.Code == "" || b.link < 0 {
		return nil
	}
	var allow runner.Network
	if q.Network != nil {
		allow = *q.Network
	}
	return s.net.admit(b.link, b.name, allow)
}

func (s *spawner) openMeters(b *box, p *pipes) {
	if b.cg == nil {
		fd, err := unix.Open("/proc/"+strconv.Itoa(b.pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			p.ours[fdTime] = fd
		}
		return
	}
	for _, l := range []byte{fdUsage, fdPeak, fdFreezer, fdCPU, fdTime} {
		p.ours[l] = b.cg.open(l)
	}
}

// bootFailed ends what there is of the box and says why it failed.
func (s *spawner) bootFailed(b *box, err error) error {
	b.mu.Lock()
	stopped := b.stopping
	b.mu.Unlock()
	b.kill()
	s.bury(b)
	if stopped {
		return errStopped
	}
	return err
}

// cgroupMB is the memory limit: where /tmp is memory it is charged to the box, so the limit grows by its size.
func (s *spawner) cgroupMB(memoryMB, tmpMB int) int {
	if s.scratch == nil {
		return memoryMB + tmpMB
	}
	return memoryMB
}

// planBox is what every box has, whatever runs in it.
func (s *spawner) planBox(b *box, q *request, plan *mountPlan) (*boxConf, error) {
	conf := &boxConf{DNS: s.net != nil, Root: filepath.Join(s.cfg.State, "root"), UID: b.uid, ShownUID: b.uid, Links: s.tree.links, CgroupRoot: s.cg != nil}
	if s.cfg.Rung == runner.RungB {
		conf.UID, conf.ShownUID = 0, boxUserID
	}
	conf.Files = boxFiles(conf.ShownUID, q.MemoryMB)
	if s.cg == nil {
		// Threads' stacks and a runtime's own tables count as data too: a fixed allowance above the function's memory.
		conf.DataMB, conf.Processes, b.oomMB = q.MemoryMB+rlimitAllowanceMB, maxProcesses, q.MemoryMB
	}
	if err := plan.hostTree(s.tree); err != nil {
		return nil, err
	}
	if s.scratch == nil {
		conf.TmpMB = q.EphemeralMB
		return conf, nil
	}
	fd, err := s.scratch.mount(q.EphemeralMB)
	if err != nil {
		return nil, err
	}
	plan.add("/tmp", true, fd)
	return conf, nil
}

const rlimitAllowanceMB = 256

func (s *spawner) planRuntime(plan *mountPlan, rt runtimes.Runtime) error {
	if err := plan.runtimePrefix(rt, s.cfg.Data, s.dataFd); err != nil {
		return err
	}
	return plan.host(filepath.Join(s.cfg.State, "runtime"), "/var/runtime", attrReadOnly)
}

// planCode mounts the function's package and layers, which the server wrote.
func (s *spawner) planCode(plan *mountPlan, q *request) error {
	if q.Code == "" {
		return nil
	}
	root := filepath.Base(s.cfg.Code)
	fd, err := cloneBeneath(s.codeDir, root+"/"+q.Code, attrReadOnly)
	if err != nil {
		return err
	}
	plan.add("/var/task", true, fd)
	if len(q.Layers) == 0 {
		return nil
	}
	var layers []int
	defer func() { closeFds(layers) }()
	for _, l := range q.Layers {
		fd, err := openBeneath(s.codeDir, root+"/"+l)
		if err != nil {
			return err
		}
		layers = append(layers, fd)
	}
	if fd, err = stack(layers); err != nil {
		return fmt.Errorf("stack the layers: %w", err)
	}
	plan.add("/opt", true, fd)
	return nil
}

// handOver makes a pre-booted box a function's, once.
func (s *spawner) handOver(q *request) error {
	b := s.box(q.Box)
	if b == nil {
		return lambda.E(lambda.Unavailable, "sandbox.gone")
	}
	plan := &mountPlan{}
	defer plan.close()
	if err := s.planCode(plan, q); err != nil {
		return err
	}
	if q.EphemeralMB != b.tmpMB && s.scratch != nil {
		fd, err := s.scratch.mount(q.EphemeralMB)
		if err != nil {
			return err
		}
		plan.add("/tmp", true, fd)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pid == 0 || b.mntns < 0 || b.stopping {
		return lambda.E(lambda.Unavailable, "sandbox.gone")
	}
	if q.MemoryMB > b.memoryMB {
		return fmt.Errorf("%d MB in a box of %d", q.MemoryMB, b.memoryMB)
	}
	if b.cg != nil && q.MemoryMB < b.memoryMB {
		if err := b.cg.limit(s.cgroupMB(q.MemoryMB, b.tmpMB)); err != nil {
			return err
		}
	}
	err := s.hops.mountIn(b.mntns, plan)
	unix.Close(b.mntns)
	b.mntns = -1
	if err != nil {
		return err
	}
	return s.admit(b, q)
}
