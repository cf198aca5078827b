package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The benchmark prints figures; it never fails on time. It runs only when asked: make bench.
func benchOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("KILN_TEST_BENCH") == "" {
		t.Skip("a benchmark: run it with make bench")
	}
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	load, _ := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	verdict := ""
	if load > 1 {
		verdict = "  NOT VALID: the machine was busy"
	}
	t.Logf("load average before the run: %.2f%s", load, verdict)
}

// sample is what a load run measured.
type sample struct {
	latencies []time.Duration
	took      time.Duration
	failures  int64
	cpu       time.Duration // of the measured processes
}

func (s sample) p(q float64) time.Duration {
	if len(s.latencies) == 0 {
		return 0
	}
	return s.latencies[int(float64(len(s.latencies)-1)*q)]
}

func (s sample) rps() float64 { return float64(len(s.latencies)) / s.took.Seconds() }

func (s sample) cpuPerRequest() float64 {
	return float64(s.cpu.Microseconds()) / float64(max(1, len(s.latencies)))
}

// load sends requests from `callers` goroutines for a while and measures the CPU of the process trees below pids.
func load(callers int, d time.Duration, pids []int, send func() error) sample {
	var s sample
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failures atomic.Int64
	before, start := cpuOf(pids), time.Now()
	for range callers {
		wg.Go(func() {
			var own []time.Duration
			for time.Since(start) < d {
				t := time.Now()
				if err := send(); err != nil {
					failures.Add(1)
					continue
				}
				own = append(own, time.Since(t))
			}
			mu.Lock()
			s.latencies = append(s.latencies, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	s.took, s.cpu, s.failures = time.Since(start), cpuOf(pids)-before, failures.Load()
	slices.Sort(s.latencies)
	return s
}

// cpuOf is the user and system time of all processes below the given ones, in the kernel's ticks of 10 ms.
func cpuOf(roots []int) time.Duration {
	parents, times := map[int]int{}, map[int]int64{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		b, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(d))
		parents[pid], _ = strconv.Atoi(f[1])
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(f[i], 10, 64)
			times[pid] += n
		}
	}
	var ticks int64
	for pid, n := range times {
		for p := pid; p > 1; p = parents[p] {
			if slices.Contains(roots, p) {
				ticks += n
				break
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// signedInvoke calls a function by the Invoke API with the root key, over kept connections, without an SDK's own cost.
func signedInvoke(t *testing.T, s *server, function string, payload []byte) func() error {
	t.Helper()
	creds := rootKey(t, s)
	sum := sha256.Sum256(payload)
	hash := hex.EncodeToString(sum[:])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	signer := v4.NewSigner()
	return func() error {
		req, err := http.NewRequest(http.MethodPost, s.console+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(payload))
		if err != nil {
			return err
		}
		if err := signer.SignHTTP(context.Background(), creds, req, hash, "lambda", "us-east-1", time.Now()); err != nil {
			return err
		}
		return drain(client.Do(req))
	}
}

func plainPost(url string, payload []byte) func() error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	return func() error { return drain(client.Post(url, "application/json", bytes.NewReader(payload))) }
}

func drain(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Amz-Function-Error") != "" {
		return fmt.Errorf("status %s, function error %q", res.Status, res.Header.Get("X-Amz-Function-Error"))
	}
	return nil
}

func rootKey(t *testing.T, s *server) aws.Credentials {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, "credentials"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) string {
		_, rest, _ := strings.Cut(string(b), name+" = ")
		v, _, _ := strings.Cut(rest, "\n")
		return v
	}
	return aws.Credentials{AccessKeyID: get("aws_access_key_id"), SecretAccessKey: get("aws_secret_access_key")}
}

// bareNode is the yardstick: http.createServer with the same answer.
func bareNode(t *testing.T, node string) (url string, pid int) {
	t.Helper()
	addr := freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(node, "-e", `require("http").createServer((q, r) => { let b = ""; q.on("data", d => b += d); q.on("end", () => {
		const e = JSON.parse(b); r.setHeader("content-type", "application/json"); r.end(JSON.stringify({ hello: e.name })) }) }).listen(`+port+`, "127.0.0.1")`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "http://" + addr, cmd.Process.Pid
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func nodeBinary(t *testing.T, s *server) string {
	t.Helper()
	all, _ := filepath.Glob(s.data + "/runtimes/*/bin/node")
	if len(all) == 0 {
		t.Fatal("no Node.js in the data folder")
	}
	return all[0]
}

const (
	helloNode   = `exports.handler = async (event) => ({ hello: event.name });`
	helloPython = "def handler(event, context):\n    return {'hello': event['name']}\n"
)

func TestBenchWarm(t *testing.T) {
	benchOnly(t)
	s := startServer(t)
	createFunction(t, s, "bench-node", "nodejs22.x", "index.handler", map[string]string{"index.js": helloNode})
	createFunction(t, s, "bench-python", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	payload := []byte(`{"name":"kiln"}`)
	url, pid := bareNode(t, nodeBinary(t, s))
	bare := plainPost(url, payload)
	tree := []int{s.cmd.Process.Pid}
	for _, c := range []int{1, 8, 64} {
		load(c, time.Second, nil, bare)
		b := load(c, 4*time.Second, []int{pid}, bare)
		t.Logf("bare Node http       c=%-3d p50 %.3f ms  %7.0f rps  %5.1f µs CPU", c, ms(b.p(.5)), b.rps(), b.cpuPerRequest())
		for _, fn := range []string{"bench-node", "bench-python"} {
			call := signedInvoke(t, s, fn, payload)
			load(c, time.Second, nil, call)
			k := load(c, 4*time.Second, tree, call)
			t.Logf("%-20s c=%-3d p50 %.3f ms (bare %+.3f)  p99 %.3f  %7.0f rps (%.2f ×)  %5.1f µs CPU (%.1f ×)  failures %d", fn, c,
				ms(k.p(.5)), ms(k.p(.5)-b.p(.5)), ms(k.p(.99)), k.rps(), k.rps()/b.rps(), k.cpuPerRequest(), k.cpuPerRequest()/b.cpuPerRequest(), k.failures)
		}
	}
}

func TestBenchFirstCall(t *testing.T) {
	benchOnly(t)
	s := startServer(t)
	node := nodeBinary(t, s)
	var plain []time.Duration
	for range 20 {
		start := time.Now()
		if err := exec.Command(node, "-e", "").Run(); err != nil {
			t.Fatal(err)
		}
		plain = append(plain, time.Since(start))
	}
	slices.Sort(plain)
	base := plain[len(plain)/2]
	t.Logf("node -e ''            p50 %.1f ms", ms(base))
	for _, r := range []struct{ runtime, handler, file, code string }{
		{"nodejs22.x", "index.handler", "index.js", helloNode}, {"python3.11", "app.handler", "app.py", helloPython},
	} {
		var first []time.Duration
		for i := range 40 {
			name := fmt.Sprintf("first-%s-%d", strings.Split(r.runtime, ".")[0], i)
			createFunction(t, s, name, r.runtime, r.handler, map[string]string{r.file: r.code})
			time.Sleep(150 * time.Millisecond) // lets the pool refill: the figure is that of a hand-over, not of a boot
			call := signedInvoke(t, s, name, []byte(`{"name":"kiln"}`))
			start := time.Now()
			if err := call(); err != nil {
				t.Fatal(err)
			}
			first = append(first, time.Since(start))
		}
		slices.SortFunc(first, cmp.Compare)
		p50, p99 := first[len(first)/2], first[len(first)-1]
		t.Logf("%-21s first call p50 %.2f ms (%.3f ×)  max %.2f ms (%.3f ×)", r.runtime, ms(p50), float64(p50)/float64(base), ms(p99), float64(p99)/float64(base))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func decode[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}
