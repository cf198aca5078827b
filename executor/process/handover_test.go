//go:build linux

package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kiln/executor/runner"
	"kiln/lambda"
)

func TestHandOverMountsCodeLayersAndTmpOnce(t *testing.T) {
	b := open(t)
	h := runner.HandOver{MemoryMB: 128, EphemeralMB: 600,
		Code:   b.tree("c0de", map[string]string{"index.js": "code of the function", "sub/x": "1"}),
		Layers: []string{b.tree("1a", map[string]string{"a": "low", "both": "low"}), b.tree("1b", map[string]string{"b": "high", "both": "high"})}}
	eachRuntime(t, b, func(t *testing.T, rt string) {
		e := b.startOn(t, spec(rt, 256))
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		code := does{
			node: `const fs=require('fs'); process.chdir('/var/task'); const r=p=>fs.readFileSync(p,'utf8');
let w; try{fs.writeFileSync('/var/task/new','x'); w='written'}catch(e){w=e.code}
let o; try{fs.writeFileSync('/opt/new','x'); o='written'}catch(e){o=e.code}
fs.writeFileSync('/tmp/mine','x'); const s=fs.statfsSync('/tmp');
return [r('index.js'),r('/opt/a'),r('/opt/b'),r('/opt/both'),w,o,fs.readdirSync('/tmp').join()].join(' ')`,
			python: `import os
os.chdir('/var/task')
r=lambda p: open(p).read()
def w(p):
    try: open(p,'w'); return 'written'
    except OSError as e: return 'EROFS' if e.errno==30 else str(e)
open('/tmp/mine','w')
return ' '.join([r('index.js'),r('/opt/a'),r('/opt/b'),r('/opt/both'),w('/var/task/new'),w('/opt/new'),','.join(os.listdir('/tmp'))])`,
		}
		if got := e.run(code.in(rt)); got != `"code of the function low high high EROFS EROFS mine"` {
			t.Error(got)
		}
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), h); err == nil {
			t.Error("a box was handed over twice")
		}
	})
}

func TestHandOverLowersTheMemoryLimit(t *testing.T) {
	b := open(t)
	if b.Capabilities().Cgroups == "" {
		t.Skip("no cgroups on this rung")
	}
	e := b.start(spec("python3.11", 256))
	if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), runner.HandOver{Code: b.tree("c0", map[string]string{"a": ""}), MemoryMB: 150, EphemeralMB: 512}); err != nil {
		t.Fatal(err)
	}
	if err := e.send("x=b'x'*(200<<20)"); err != nil {
		t.Fatal(err)
	}
	if exit := waitExit(t, e); !exit.OutOfMemory || exit.PeakMemoryMB > 151 {
		t.Errorf("exit %+v", exit)
	}
}

func TestHandOverRefusesWhatIsNotATree(t *testing.T) {
	b := open(t)
	link := strings.Repeat("0", 60) + "1111"
	if err := os.Symlink("/etc", filepath.Join(b.data, "code", link)); err != nil {
		t.Fatal(err)
	}
	e := b.start(spec("python3.11", 128))
	for _, code := range []string{link, strings.Repeat("f", 64), "../../etc", strings.Repeat("F", 64), ""} {
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), runner.HandOver{Code: code, MemoryMB: 128, EphemeralMB: 512}); err == nil {
			t.Errorf("code %q was mounted", code)
		}
	}
	if got := e.run("import os\nreturn os.listdir('/var/task')"); got != "[]" {
		t.Error(got)
	}
}

func TestTheListenersInsideBelongToTheBox(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	for port, l := range map[int]net.Listener{9001: e.RuntimeAPI(), 9002: e.AWS()} {
		if l == nil {
			t.Fatalf("no listener for %d", port)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			line, _ := bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, strings.ToUpper(line))
		}()
		got := e.run(fmt.Sprintf("import socket\ns=socket.create_connection(('127.0.0.1',%d),5)\ns.sendall(b'hello\\n')\nreturn s.makefile().readline()", port))
		if got != `"HELLO\n"` {
			t.Errorf("port %d: %s", port, got)
		}
	}
}

func TestColdStartRunsTheFunctionsOwnProgram(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 128)
	s.Env = []string{"GREETING=hello there", "EMPTY=", "PATH=/usr/bin:/bin"}
	s.Code = b.tree("b0", map[string]string{"bootstrap": "#!/bin/sh\nset -o pipefail\nsource /var/task/lib.sh\necho \"$GREETING $(pwd) $WHO\"\necho err >&2\nexit 7\n", "lib.sh": "WHO=$(id -un)\n"})
	e := b.start(s)
	if exit := waitExit(t, e); exit.Code != 7 {
		t.Errorf("exit %+v: %s", exit, e.err.all())
	}
	if out := e.out.all(); out != "hello there /var/task sbx_user1051\n" {
		t.Errorf("output %q", out)
	}
	if err := e.err.all(); err != "err\n" {
		t.Errorf("errors %q", err)
	}
}

func TestTheEnvironmentArrivesByteForByte(t *testing.T) {
	b := open(t)
	s := spec("python3.11", 128)
	s.Code = b.tree("b6", map[string]string{"x": ""})
	s.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "ODD=\xff\xfe\x01\n=\"'\\", "BIG=" + strings.Repeat("\x01", 60<<10)}
	got := b.start(s).run("import os\ne=os.environb\nreturn [e[b'ODD'].hex(), len(e[b'BIG']), len(e)]")
	if got != `["fffe010a3d22275c", 61440, 4]` {
		t.Error(got)
	}
	s.Env = append(s.Env, "MORE="+strings.Repeat("x", 5<<10))
	if _, err := b.Start(t.Context(), s); err == nil {
		t.Error("65 KiB of environment were taken")
	}
}

func TestAnExecWrapperStartsTheRuntime(t *testing.T) {
	b := open(t)
	s := spec("python3.11", 128)
	s.Env = []string{"PATH=/usr/bin:/bin"}
	s.Code = b.tree("b1", map[string]string{"wrap": "#!/bin/bash\nexport WRAPPED=yes\nexec \"$@\"\n"})
	s.Wrapper = "/var/task/wrap"
	if got := b.start(s).run("import os\nreturn os.environ['WRAPPED']"); got != `"yes"` {
		t.Error(got)
	}
}

func TestABoxThatEndsAtOnceStillDeliversItsOutput(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 64)
	s.Code = b.tree("b4", map[string]string{"bootstrap": "#!/bin/sh\necho short life\n"})
	for range 20 {
		e := b.start(s)
		if exit, out := waitExit(t, e), e.out.all(); exit.Code != 0 || out != "short life\n" {
			t.Errorf("%+v %q", exit, out)
		}
	}
}

func TestAMissingProgramIsTheFunctionsFault(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 128)
	s.Code = b.tree("b2", map[string]string{"readme": "no bootstrap"})
	_, err := b.Start(t.Context(), s)
	if lambda.KeyOf(err) != "sandbox.entrypoint" || !errors.Is(err, runner.ErrNoEntrypoint) {
		t.Errorf("error %v", err)
	}
	s.Runtime = "python3.99"
	s.Code = ""
	if _, err = b.Start(t.Context(), s); lambda.KeyOf(err) != "runtime.missing" {
		t.Errorf("error %v", err)
	}
	b.wantNothingLeft(t)
}
