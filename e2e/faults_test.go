package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// processes maps every process to its parent and its command line.
func processes() (parents map[int]int, lines map[int]string) {
	parents, lines = map[int]int{}, map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		stat, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if f[0] == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		parents[pid], _ = strconv.Atoi(f[1])
		line, _ := os.ReadFile(d + "/cmdline")
		lines[pid] = strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
	}
	return parents, lines
}

// family is every process below pid, itself included.
func family(pid int) (all []int) {
	parents, _ := processes()
	for p := range parents {
		for q := p; q > 1; q = parents[q] {
			if q == pid {
				all = append(all, p)
				break
			}
		}
	}
	return all
}

// murder kills kiln and everything below it at once, as a power cut does.
func (s *server) murder() {
	all := family(s.cmd.Process.Pid)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // nobody may react to the first death
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
}

func TestASecondServerEndsWithASentence(t *testing.T) {
	s := startServer(t)
	out, err := kiln(t.Context(), s.data, []string{"KILN_LISTEN=" + freeAddress(t), "KILN_GATEWAY_LISTEN=" + freeAddress(t)}, "serve")
	if err == nil || !strings.Contains(out, "another Kiln runs on") {
		t.Errorf("got %v: %s", err, out)
	}
	other, err := os.MkdirTemp("", "kiln-data-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(other)
	out, err = kiln(t.Context(), other, []string{"KILN_LISTEN=" + strings.TrimPrefix(s.console, "http://"), "KILN_GATEWAY_LISTEN=" + freeAddress(t)}, "serve")
	if err == nil || !strings.Contains(out, "is in use") || !strings.Contains(out, "KILN_LISTEN") {
		t.Errorf("a port in use: %v: %s", err, out)
	}
}

func TestCommandsOfTheTerminal(t *testing.T) {
	s := startServer(t)
	link, err := s.command("login-link")
	if err != nil || !strings.HasPrefix(link, s.console+"/login?token=") {
		t.Errorf("login-link: %q, %v", link, err)
	}
	health, err := s.command("healthcheck")
	if err != nil || !strings.Contains(health, `"status":"ok"`) {
		t.Errorf("healthcheck: %q, %v", health, err)
	}
	b := newTab(t)
	s.link = strings.TrimSpace(link)
	b.signIn(s)
	b.open(s.link)
	b.until("the link to be used up", `!document.querySelector("form input[name=token]")`)
}

func TestBackupAndRestore(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "kept", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	file := filepath.Join(t.TempDir(), "kiln.backup")
	if out, err := s.command("admin", "backup", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.stop()
	key, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, bytes.TrimSpace(key)) {
		t.Fatalf("the backup holds the master key, or cannot be read: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(s.data, "postgres")); err != nil {
		t.Fatal(err)
	}
	if out, err := s.command("admin", "restore", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.start()
	out, err := sdk(t, s).Invoke(t.Context(), invocation("kept", `{"name":"again"}`))
	if err != nil || !strings.Contains(string(out.Payload), "again") {
		t.Errorf("after the restore: %v %+v", err, out)
	}
}

func invocation(name, payload string) *lambda.InvokeInput {
	return &lambda.InvokeInput{FunctionName: &name, Payload: []byte(payload)}
}

func TestAKilledDatabaseServesAgain(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "steady", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	pid := postmaster(t, s)
	if pid == 0 {
		t.Fatal("no private Postgres runs")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := sdk(t, s).GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: ptr("steady")})
		if err == nil && postmaster(t, s) != pid { // the killed one may answer once more
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the database did not come back: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func postmaster(t *testing.T, s *server) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, "postgres", "data", "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return 0 // between two starts
	}
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(b), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func ptr[T any](v T) *T { return &v }

const countedCode = "def handler(event, context):\n    return event['n']\n"

// TestAcceptedEventsSurviveKills: what was accepted is done, at least once, whatever was killed in between. A success is kept under its
// destination in the transaction that settles the event, so those rows tell durably what was done.
func TestAcceptedEventsSurviveKills(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "counted", "python3.11", "app.handler", map[string]string{"app.py": countedCode})
	_, err := sdk(t, s).PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: ptr("counted"),
		DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: ptr("arn:aws:sqs:us-east-1:000000000000:done")}}})
	if err != nil {
		t.Fatal(err)
	}
	rounds, each := 2, 60
	if os.Getenv("KILN_TEST_SOAK") != "" {
		rounds, each = 20, 200
	}
	accepted := map[string]bool{}
	for r := range rounds {
		for i := range each {
			n := fmt.Sprintf("%d-%d", r, i)
			in := invocation("counted", `{"n":"`+n+`"}`)
			in.InvocationType = types.InvocationTypeEvent
			if _, err := sdk(t, s).Invoke(t.Context(), in); err != nil {
				t.Fatalf("event %s: %v", n, err)
			}
			accepted[n] = true
		}
		s.murder()
		s.start()
	}
	s.waitForSuccesses(accepted)
}

// waitForSuccesses waits until every accepted event is kept as done.
func (s *server) waitForSuccesses(want map[string]bool) {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := maps.Clone(want)
		for line := range strings.Lines(s.query(`SELECT convert_from(payload, 'UTF8') FROM dead_letters`)) {
			for n := range want {
				if strings.Contains(line, `"n":"`+n+`"`) {
					delete(left, n)
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d accepted events were never done: %v; the queue: %s", len(left), len(want), left, s.query(`SELECT state, count(*) FROM event_queue GROUP BY 1`))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// query asks the private Postgres, as the user that owns it.
func (s *server) query(sql string) string {
	s.t.Helper()
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if len(all) == 0 {
		s.t.Fatal("no psql")
	}
	cmd := exec.CommandContext(s.t.Context(), all[len(all)-1], "-h", filepath.Join(s.data, "postgres", "run"), "-U", "kiln", "-d", "kiln", "-XAtc", sql)
	if info, err := os.Stat(s.data); err == nil && os.Geteuid() == 0 {
		owner := info.Sys().(*syscall.Stat_t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return string(out)
}

func TestNothingRemainsAfterAKill(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "left", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	if _, err := sdk(t, s).Invoke(t.Context(), invocation("left", `{"name":"x"}`)); err != nil {
		t.Fatal(err)
	}
	s.murder()
	s.start()
	if _, err := sdk(t, s).Invoke(t.Context(), invocation("left", `{"name":"x"}`)); err != nil {
		t.Errorf("the next call after a kill: %v", err)
	}
	s.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var here []string
		_, lines := processes()
		for _, l := range lines {
			if strings.Contains(l, s.data) {
				here = append(here, l)
			}
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if len(here) == 0 && !bytes.Contains(mounts, []byte(s.data)) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("left behind: processes %v, mounts %v", here, bytes.Contains(mounts, []byte(s.data)))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestAPlainUser runs Kiln without root: functions run on rung B, from a runtime in a data folder below /tmp too.
func TestAPlainUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as a plain user already")
	}
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(b)) == "0" {
		t.Skip("this machine has no user namespaces: functions do not run on rung B here")
	}
	s := startServerAs(t, 65534) // nobody: initdb wants a user that has a name
	createFunction(t, s, "plain", "nodejs22.x", "index.handler", map[string]string{"index.js": helloNode})
	out, err := sdk(t, s).Invoke(t.Context(), invocation("plain", `{"name":"B"}`))
	if err != nil || string(out.Payload) != `{"hello":"B"}` {
		t.Errorf("%v %+v", err, out)
	}
	s.dropsToAWeakerRung()
}

// dropsToAWeakerRung pretends that the data folder has seen rung A: functions wait for the owner's word.
func (s *server) dropsToAWeakerRung() {
	s.t.Helper()
	s.query(`UPDATE settings SET value = '"A"' WHERE name = 'isolation'`)
	s.stop()
	s.start()
	if _, err := sdk(s.t, s).Invoke(s.t.Context(), invocation("plain", `{"name":"B"}`)); err == nil {
		s.t.Error("a function ran on a weaker rung without the owner's word")
	}
	if _, err := s.command("admin", "accept-rung", "B"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := sdk(s.t, s).Invoke(s.t.Context(), invocation("plain", `{"name":"B"}`)); err != nil {
		s.t.Errorf("after the owner's word: %v", err)
	}
}
