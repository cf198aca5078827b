package process

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// spawnerSocket is the descriptor on which a spawner finds its control socket.
const spawnerSocket = 3

// firstUIDs are where a spawner's range of uids may begin: unused by every convention, else (in a container with few uids) below 65,536.
var firstUIDs = []int{1_900_000_000, 55_000}

// spawner makes, specialises and kills boxes for one server.
type spawner struct {
	cfg     Config
	w       *wire
	log     *slog.Logger
	forks   *thread
	hops    *hopper
	tree    hostTree
	cg      *cgroupTree // nil: rlimits only
	scratch *scratch    // nil: /tmp is memory
	caps    runner.Capabilities
	dataFd  int
	codeDir int // the folder that holds the code folder
	null    int
	uid0    int
	net     *network // nil: boxes reach nothing
	token   string
	names   atomic.Uint64
	nursery *nursery      // nil until the probe has passed
	boots   chan struct{} // at most so many boxes boot at a time
	handing chan struct{} // and so many are handed over

	mu    sync.Mutex
	boxes map[uint64]*box
	slots [maxBoxes]bool
	catalogue
	booting sync.WaitGroup
	reaping sync.Mutex
}

// SpawnerMain is the whole of `kiln spawner`: args are what follows those words. It returns the exit status.
// It is never run by a person: its control socket is descriptor 3, its settings come from the one who started it, never from the server.
func SpawnerMain(args []string) int { return SpawnerMainWith(args, Config{}) }

// SpawnerMainWith is SpawnerMain with another way to find runtimes; only cfg's functions are used. Tests need it.
func SpawnerMainWith(args []string, cfg Config) int {
	if len(args) > 0 && args[0] == "box" {
		return boxMain()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("in", "spawner")
	if cfg.Discover == nil {
		cfg.Discover, cfg.Bootstraps = hostRuntimes, runtimes.WriteBootstraps
	}
	if err := readFlags(args, &cfg); err != nil {
		log.Error("arguments", "err", err)
		return 2
	}
	// The terminal's signals are the parent's to handle; the end of the socket ends the spawner.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	w, err := newWire(os.NewFile(spawnerSocket, "control"))
	if err != nil {
		log.Error("control socket", "err", err)
		return 1
	}
	s := &spawner{cfg: cfg, w: w, log: log, token: rand.Text()[:8], boxes: map[uint64]*box{},
		boots: make(chan struct{}, max(4, 2*runtime.NumCPU())), handing: make(chan struct{}, 64)}
	if err := s.prepare(); err != nil {
		s.caps.Rung = runner.RungD
		s.caps.Missing = append(s.caps.Missing, lambda.Problem{Field: "isolation", Key: "sandbox.cannot", Params: lambda.P("detail", err.Error())})
		log.Warn("no sandbox here", "rung", cfg.Rung, "err", err)
	}
	return s.serve()
}

func readFlags(args []string, cfg *Config) error {
	f := flag.NewFlagSet("spawner", flag.ContinueOnError)
	f.StringVar(&cfg.Data, "data", "", "data folder")
	f.StringVar(&cfg.Code, "code", "", "folder of unpacked packages")
	f.StringVar(&cfg.State, "state", "", "folder for the spawner's own notes")
	rung := f.String("rung", "", "A or B")
	if err := f.Parse(args); err != nil {
		return err
	}
	cfg.Rung = runner.Rung(*rung)
	for _, p := range []string{cfg.Data, cfg.Code, cfg.State} {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p {
			return fmt.Errorf("%q is not a clean absolute path", p)
		}
	}
	if cfg.Rung != runner.RungA && cfg.Rung != runner.RungB {
		return fmt.Errorf("rung %q", *rung)
	}
	return nil
}

// prepare finds what this machine can do, ends what a dead spawner left, and boots one box as a probe.
func (s *spawner) prepare() error {
	s.caps = runner.Capabilities{Rung: s.cfg.Rung, UserSlot: s.cfg.Rung == runner.RungA}
	if err := s.folders(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.endLeftOver(ctx)
	if _, err := buildFilter(); err != nil {
		return err
	}
	s.raiseLimits()
	s.tree = findHostTree()
	s.forks = newThread()
	var err error
	if s.hops, err = newHopper(); err != nil {
		return err
	}
	s.findCgroups()
	s.findScratch()
	if s.cfg.Rung == runner.RungB {
		s.miss("sandbox.needRoot")
	}
	s.findNetwork()
	go s.look(s.cfg, s.dataFd)
	if err := s.probe(); err != nil {
		return err
	}
	s.openNursery()
	return nil
}

func (s *spawner) endLeftOver(ctx context.Context) {
	left, err := s.endForeign(ctx)
	if err != nil {
		s.log.Error("end what an earlier spawner left", "err", err)
	}
	s.booting.Go(func() {
		for _, name := range left {
			if err := s.removeTraces(name); err != nil {
				s.log.Error("clean up after an earlier spawner", "err", err)
			}
		}
	})
}

func (s *spawner) miss(key string, params ...string) {
	s.caps.Missing = append(s.caps.Missing, lambda.Problem{Field: "isolation", Key: key, Params: lambda.P(params...)})
}

func (s *spawner) folders() error {
	for _, d := range []string{s.cfg.State, filepath.Join(s.cfg.State, "boxes"), filepath.Join(s.cfg.State, "root"), filepath.Join(s.cfg.State, "runtime")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
	}
	if err := ownFolder(s.cfg.State); err != nil {
		return err
	}
	var err error
	if s.dataFd, err = unix.Open(s.cfg.Data, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	if s.codeDir, err = unix.Open(filepath.Dir(s.cfg.Code), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the code folder's parent: %w", err)
	}
	if s.null, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	// The runtimes see the bootstraps through a read-only mount and as another uid.
	bootstraps := filepath.Join(s.cfg.State, "runtime")
	if err := os.Chmod(bootstraps, 0o755); err != nil {
		return err
	}
	return s.cfg.Bootstraps(bootstraps)
}

// ownFolder refuses a state folder that somebody else could have written.
func ownFolder(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("the state folder %s does not belong to this user alone", dir)
	}
	return nil
}

// raiseLimits makes room for the descriptors of many boxes.
func (s *spawner) raiseLimits() {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			s.log.Warn("raise the limit of open files", "err", err)
		}
	}
}

func (s *spawner) findCgroups() {
	cg, err := findCgroups(cgroupName(s.cfg.State))
	if err != nil {
		s.log.Info("no cgroups", "err", err)
		s.miss("sandbox.noCgroups")
		return
	}
	s.cg = cg
	s.caps.Cgroups, s.caps.Freezer, s.caps.CPUQuota = cg.kind, cg.has("freezer"), cg.has("cpu")
}

func (s *spawner) findNetwork() {
	if s.cfg.Rung != runner.RungA {
		s.miss("sandbox.noNetwork")
		return
	}
	n, err := newNetwork(s.cfg.State)
	switch {
	case errors.Is(err, errForwardingOff):
		s.miss("sandbox.forwardingOff")
	case err != nil:
		s.log.Info("no network for functions", "err", err)
		s.miss("sandbox.noNetwork")
	default:
		s.net, s.caps.Network = n, true
	}
}

// cgroupName is the same for every spawner of a state folder.
func cgroupName(state string) string {
	h := fnv.New32a()
	_, _ = io.WriteString(h, state)
	return fmt.Sprintf("kiln-%08x", h.Sum32())
}

const defaultTmpMB = 512

func (s *spawner) findScratch() {
	if s.cfg.Rung == runner.RungB {
		s.miss("sandbox.tmpInMemory")
		return
	}
	sc, err := newScratch(s.cfg.Data, defaultTmpMB)
	if err != nil {
		s.log.Info("/tmp is kept in memory", "err", err)
		s.miss("sandbox.tmpInMemory")
		return
	}
	s.scratch, s.caps.DiskTmp = sc, true
}

// probe boots /bin/true: only what works counts as a rung.
func (s *spawner) probe() error {
	if s.cfg.Rung == runner.RungA && s.cg == nil {
		return errors.New("rung A needs cgroups with the memory and pids controllers")
	}
	var err error
	for _, s.uid0 = range firstUIDs {
		if err = s.probeOnce(); err == nil {
			return nil
		}
		if s.cfg.Rung == runner.RungB {
			break
		}
	}
	return err
}

func (s *spawner) probeOnce() error {
	q := &request{Op: opStart, Box: 1, MemoryMB: 128, EphemeralMB: defaultTmpMB}
	b, p, err := s.startBox(q, []string{"/bin/true"}, &mountPlan{})
	if err != nil {
		return err
	}
	defer p.close()
	exit := s.bury(b)
	s.forget(b)
	if exit.Code != 0 {
		return fmt.Errorf("the probe ended with %+v", *exit)
	}
	return nil
}

// serve answers the server until its socket ends; then everything ends.
func (s *spawner) serve() int {
	hello := s.caps
	if err := s.w.sendJSON(reply{Say: sayHello, Hello: &hello}); err != nil {
		s.log.Error("greet the server", "err", err)
	}
	buf := make([]byte, maxPacket+1)
	for {
		n, _, err := s.w.recv(buf, 0)
		if err != nil {
			if !isEOF(err) {
				s.log.Error("read from the server", "err", err)
			}
			break
		}
		s.handle(buf[:n])
	}
	s.endAll()
	return 0
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET)
}

func (s *spawner) handle(packet []byte) {
	q, err := decodeRequest(packet)
	if err != nil {
		s.log.Error("refused a packet of the server", "err", err)
		seq := uint64(0)
		if q != nil {
			seq = q.Seq
		}
		s.answer(reply{Say: sayDone, Seq: seq, Error: err.Error(), Key: "sandbox.refused"})
		return
	}
	if s.caps.Rung == runner.RungD && q.Op != opReap {
		s.answer(reply{Say: sayDone, Seq: q.Seq, Error: "rung D", Key: "sandbox.none"})
		return
	}
	switch q.Op {
	case opStart:
		s.start(q)
	case opHandOver:
		s.handing <- struct{}{}
		go func() {
			defer func() { <-s.handing }()
			s.answer(doneReply(q.Seq, s.handOver(q)))
		}()
	case opKill:
		if b := s.box(q.Box); b != nil {
			b.kill()
		}
		s.answer(reply{Say: sayDone, Seq: q.Seq})
	case opRuntimes:
		go s.answer(reply{Say: sayDone, Seq: q.Seq, Runtimes: s.look(s.cfg, s.dataFd)})
	case opReap:
		go s.answerReap(q.Seq)
	}
}

// answerReap does one reap at a time; asking again meanwhile waits for nothing.
func (s *spawner) answerReap(seq uint64) {
	if !s.reaping.TryLock() {
		s.answer(reply{Say: sayDone, Seq: seq})
		return
	}
	defer s.reaping.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.answer(doneReply(seq, s.reap(ctx)))
}

func doneReply(seq uint64, err error) reply {
	r := reply{Say: sayDone, Seq: seq}
	if err != nil {
		r.Error, r.Key = err.Error(), errorKey(err)
	}
	return r
}

func errorKey(err error) string {
	if _, ok := errors.AsType[execError](err); ok {
		return "sandbox.entrypoint"
	}
	if key := lambda.KeyOf(err); key != "" {
		return key
	}
	if errors.Is(err, errStopped) {
		return "sandbox.stopped"
	}
	return "sandbox.failed"
}

func (s *spawner) answer(r reply, fds ...int) {
	if err := s.w.sendJSON(r, fds...); err != nil && !errors.Is(err, unix.EPIPE) {
		s.log.Error("answer the server", "err", err)
	}
}

func (s *spawner) box(id uint64) *box {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boxes[id]
}

// newName is unique among the spawners of a state folder: pids are not, a container begins them anew at each start.
func (s *spawner) newName() string {
	return s.token + "-" + strconv.FormatUint(s.names.Add(1), 10)
}

func (s *spawner) owns(name string) bool { return strings.HasPrefix(name, s.token+"-") }

// endAll kills every box and waits until they are gone.
func (s *spawner) endAll() {
	s.mu.Lock()
	var all []*box
	for _, b := range s.boxes {
		all = append(all, b)
	}
	s.mu.Unlock()
	for _, b := range all {
		b.kill()
	}
	s.booting.Wait()
	s.closeNursery()
	if s.net != nil {
		s.net.close()
	}
	if s.scratch != nil {
		s.scratch.close()
	}
	if s.cg != nil {
		s.cg.remove()
	}
	s.removeState()
}

// removeState removes the state folder unless a note is left in it.
func (s *spawner) removeState() {
	if err := os.Remove(filepath.Join(s.cfg.State, "boxes")); err != nil {
		return
	}
	for _, d := range []string{"runtime", "root", ""} {
		if err := os.RemoveAll(filepath.Join(s.cfg.State, d)); err != nil {
			s.log.Error("remove the state folder", "err", err)
		}
	}
}
