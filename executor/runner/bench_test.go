package runner_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

const helloNode = `exports.handler = async () => ({ statusCode: 200, body: "hello" })`
const helloPython = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hello'}\n"

// bareNode is the yardstick of one run: p50 and processor time per request of node:http with one connection.
func bareNode(b *testing.B) (p50 time.Duration) {
	cmd := exec.Command("node", "-e", `require('http').createServer((q,s)=>{s.setHeader('content-type','application/json');s.end('{"statusCode":200,"body":"hello"}')}).listen(0,'127.0.0.1',function(){console.log(this.address().port)})`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Skip("no node: ", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(port))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	return median(3000, func() {
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		q, err := http.ReadResponse(br, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, q.Body)
	})
}

func median(n int, do func()) time.Duration {
	for range n / 10 {
		do()
	}
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		do()
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n/2]
}

func cpuOf(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmark(b *testing.B, c lambda.Config, files map[string]string) {
	b.Run("plain", func(b *testing.B) { warm(b, newStand(b, nil), c, files) })
	b.Run("sandbox", func(b *testing.B) { warm(b, newSandboxStand(b), c, files) })
}

// warm measures the round trip to a worker that has run before.
func warm(b *testing.B, s *stand, c lambda.Config, files map[string]string) {
	bare := bareNode(b)
	c.MemoryMB = 1769
	d := s.Deploy(b, "hello", c, files)
	a := executor.Assignment{RequestID: "8f2c1a00-0000-4000-8000-000000000001", Digest: d, Event: []byte(`{"path":"/hello","n":1}`), AcceptedAt: time.Now(), Timeout: 10 * time.Second}
	run := func() {
		if out, err := s.Run(context.Background(), a); err != nil || out.FunctionError != "" {
			b.Fatal(err, string(out.Payload))
		}
	}
	run()
	b.Run("c=1", func(b *testing.B) {
		p50 := median(5000, run)
		before := cpuOf(syscall.RUSAGE_SELF)
		for b.Loop() {
			run()
		}
		b.ReportMetric(float64(p50.Nanoseconds())/1e3, "p50-µs")
		b.ReportMetric(float64((cpuOf(syscall.RUSAGE_SELF)-before).Nanoseconds())/1e3/float64(b.N), "kiln-cpu-µs/op")
		b.ReportMetric(float64(p50)/float64(bare), "×bareNode")
		b.ReportMetric(float64(bare.Nanoseconds())/1e3, "bare-p50-µs")
	})
	b.Run("c=64", func(b *testing.B) {
		b.SetParallelism(32)
		before := cpuOf(syscall.RUSAGE_SELF)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				run()
			}
		})
		b.ReportMetric(float64((cpuOf(syscall.RUSAGE_SELF)-before).Nanoseconds())/1e3/float64(b.N), "kiln-cpu-µs/op")
		b.ReportMetric(float64(s.Capacity().Workers), "workers")
	})
}

func BenchmarkRunnerNode(b *testing.B) {
	benchmark(b, lambda.Config{Runtime: "nodejs20.x", Handler: "index.handler"}, map[string]string{"index.js": helloNode})
}

func BenchmarkRunnerPython(b *testing.B) {
	benchmark(b, lambda.Config{Runtime: "python3.11", Handler: "app.handler"}, map[string]string{"app.py": helloPython})
}

func BenchmarkRunnerGo(b *testing.B) {
	benchmark(b, lambda.Config{Runtime: "provided.al2023"}, map[string]string{"bootstrap": goBootstrap(b)})
}

// BenchmarkFirstCall measures the first call of a new function while the pool has a runtime for it, against node -e ”.
func BenchmarkFirstCall(b *testing.B) {
	for name, c := range map[string]struct {
		lambda.Config
		files map[string]string
	}{
		"node":   {lambda.Config{Runtime: "nodejs20.x", Handler: "index.handler"}, map[string]string{"index.js": helloNode}},
		"python": {lambda.Config{Runtime: "python3.11", Handler: "app.handler"}, map[string]string{"app.py": helloPython}},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSandboxStand(b)
			bare := median(20, func() {
				if err := exec.Command("node", "-e", "").Run(); err != nil {
					b.Skip(err)
				}
			})
			var took []time.Duration
			for i := range 60 {
				d := s.Deploy(b, fmt.Sprint("f", i), c.Config, c.files)
				for s.Capacity().PreBooted < 4 {
					time.Sleep(5 * time.Millisecond)
				}
				began := time.Now()
				if out, err := s.Run(context.Background(), event(d, `{}`)); err != nil || out.FunctionError != "" {
					b.Fatal(err, string(out.Payload))
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(took[30]), "p50-ms")
			b.ReportMetric(ms(took[59]), "max-ms")
			b.ReportMetric(float64(took[30])/float64(bare), "×node-e")
			b.ReportMetric(ms(bare), "node-e-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// goBootstrap is an unmodified aws-lambda-go program, built once.
func goBootstrap(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	program := `package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string
	Size int
}

func handle(ctx context.Context, e event) (any, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	switch e.Do {
	case "fail":
		return nil, errors.New("no luck")
	case "panic":
		panic("ouch")
	case "exit":
		os.Exit(7)
	case "print":
		fmt.Println("out", lc.AwsRequestID)
		fmt.Fprintln(os.Stderr, "err")
	case "big":
		return string(make([]byte, e.Size)), nil
	}
	return map[string]any{"statusCode": 200, "body": "hello", "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn}, nil
}

func main() { lambda.Start(handle) }
`
	// Inside the module, so that its go.mod names the client; the folder's name keeps it out of ./...
	src, err := os.MkdirTemp(".", "_bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(src)
	if err := os.WriteFile(filepath.Join(src, "main.go"), []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "bootstrap"), "./"+src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("build the Go function: %w\n%s", err, out))
	}
	binary, err := os.ReadFile(filepath.Join(dir, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	return string(binary)
}
