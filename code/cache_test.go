package code

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/lambda"
)

// shelf is a Source in memory.
type shelf struct {
	mu    sync.Mutex
	zips  map[string][]byte
	opens int
	hold  chan struct{} // when set, opening waits for it
}

func (s *shelf) put(zip []byte) string {
	sum := sha256.Sum256(zip)
	sha := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zips == nil {
		s.zips = map[string][]byte{}
	}
	s.zips[sha] = zip
	return sha
}

func (s *shelf) OpenCode(_ context.Context, sha string) (io.ReadCloser, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	zip, ok := s.zips[sha]
	if !ok {
		return nil, lambda.E(lambda.NotFound, "code.missing")
	}
	return io.NopCloser(bytes.NewReader(zip)), nil
}

func newCache(t *testing.T, s *shelf, change ...func(*CacheOptions)) *Cache {
	t.Helper()
	o := CacheOptions{Root: filepath.Join(t.TempDir(), "code"), Source: s, Compiler: &Compiler{}}
	for _, c := range change {
		c(&o)
	}
	c, err := NewCache(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unpacked(t *testing.T, c *Cache, sha string) string {
	t.Helper()
	if err := c.Tree(t.Context(), sha); err != nil {
		t.Fatal(err)
	}
	return c.Path(sha)
}

func TestTreeHasWhatThePackageHas(t *testing.T) {
	s := &shelf{}
	sha := s.put(pack(t, item{name: "index.js", data: "1"}, item{name: "bootstrap", data: "#!"}, item{name: "bin/tool", data: "x", mode: 0o777 | fs.ModeSetuid | fs.ModeSetgid},
		item{name: "secret", data: "s", mode: 0o600}, item{name: "empty/", mode: fs.ModeDir | 0o700}, item{name: "bin/link", data: "../index.js", mode: fs.ModeSymlink | 0o777}))
	dir := unpacked(t, newCache(t, s), sha)
	for name, want := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "index.js": 0o644, "bootstrap": 0o755, "bin": fs.ModeDir | 0o755, "bin/tool": 0o755, "secret": 0o644, "empty": fs.ModeDir | 0o755,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info, err, want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "bin/link")); err != nil || string(data) != "1" {
		t.Errorf("the link: %q %v", data, err)
	}
}

func TestConcurrentCallsShareOneUnpacking(t *testing.T) {
	s := &shelf{hold: make(chan struct{})}
	sha := s.put(pack(t, item{name: "a"}))
	c := newCache(t, s)
	gone, cancel := context.WithCancel(t.Context())
	impatient := make(chan error, 1)
	go func() { impatient <- c.Tree(gone, sha) }()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := c.Tree(context.Background(), sha); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(s.hold)
	all.Wait()
	if s.opens != 1 {
		t.Errorf("unpacked %d times", s.opens)
	}
}

func TestFailedUnpackingLeavesNothingAndIsTriedAgain(t *testing.T) {
	s := &shelf{}
	good := pack(t, item{name: "a", data: "1"})
	sha := s.put(good)
	c := newCache(t, s)
	for what, zip := range map[string][]byte{"other bytes": pack(t, item{name: "b"}), "a cut package": good[:20]} {
		s.zips[sha] = zip
		if err := c.Tree(t.Context(), sha); err == nil {
			t.Errorf("%s: unpacked", what)
		}
	}
	lying := s.put(zeros(t, 1, 5))
	if err := c.Tree(t.Context(), lying); lambda.KeyOf(err) != "zip.damaged" {
		t.Error(err)
	}
	if left, _ := os.ReadDir(c.o.Root); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	s.zips[sha] = good
	unpacked(t, c, sha)
	for _, bad := range []string{"", "../../etc", strings.Repeat("A", 64)} {
		if err := c.Tree(t.Context(), bad); lambda.KindOf(err) != lambda.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestLeastRecentlyUsedTreesGoAndThoseInUseStay(t *testing.T) {
	s := &shelf{}
	var shas []string
	for i := range 5 {
		shas = append(shas, s.put(pack(t, item{name: "a", data: strings.Repeat(fmt.Sprint(i), 100_000)})))
	}
	c := newCache(t, s, func(o *CacheOptions) {
		o.Budget, o.Keep = 320_000, time.Nanosecond
		o.InUse = func() map[string]bool { return map[string]bool{shas[0]: true} }
	})
	for _, i := range []int{0, 1, 2, 1, 3} { // three fit: with 3 the budget is passed, 2 is the oldest that is not in use
		unpacked(t, c, shas[i])
	}
	there := func(i int) bool { _, err := os.Stat(c.Path(shas[i])); return err == nil }
	if !there(0) || !there(1) || there(2) || !there(3) {
		t.Errorf("there: %v %v %v %v", there(0), there(1), there(2), there(3))
	}
	unpacked(t, c, shas[2])
	if !there(0) || !there(2) {
		t.Error("an evicted tree does not come back, or one in use is gone")
	}
}

func TestFreshTreesStayWhateverTheBudget(t *testing.T) {
	s := &shelf{}
	c := newCache(t, s, func(o *CacheOptions) { o.Budget = 1 })
	var all sync.WaitGroup
	for i := range 20 {
		sha := s.put(pack(t, item{name: "a", data: fmt.Sprint(i)}))
		all.Go(func() {
			if err := c.Tree(context.Background(), sha); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(c.Path(sha), "a")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOnlyTreesOfAClosedCacheAreTakenOver(t *testing.T) {
	s := &shelf{}
	sha := s.put(pack(t, item{name: "a", data: "1"}))
	c := newCache(t, s)
	unpacked(t, c, sha)
	again := func(wantOpens int, what string) *Cache {
		t.Helper()
		next, err := NewCache(c.o)
		if err != nil {
			t.Fatal(err)
		}
		unpacked(t, next, sha)
		if s.opens != wantOpens {
			t.Errorf("%s: opened %d times, want %d", what, s.opens, wantOpens)
		}
		return next
	}
	next := again(2, "after a crash it is unpacked again")
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.o.Root, ".work-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	again(2, "after a clean stop it is there")
	if left, _ := os.ReadDir(c.o.Root); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := next.Tree(t.Context(), sha); lambda.KindOf(err) != lambda.Unavailable {
		t.Errorf("a closed cache answers %v", err)
	}
}

// run runs a handler of an unpacked package in Node.js as a bootstrap does: index.js or index.mjs, then the exported handler.
func runNode(t *testing.T, dir, file string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node.js here")
	}
	script := `import(process.argv[1]).then(async (m) => console.log(JSON.stringify(await (m.handler ?? m.default.handler)({ n: 2 })))).catch((e) => { console.log(String(e.stack)); process.exit(0); })`
	out, err := exec.Command(node, "--input-type=module", "-e", script, filepath.Join(dir, file)).CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestTypeScriptRuns(t *testing.T) {
	lib := item{name: "lib.ts", data: "export interface In { n: number }\nexport const twice = (i: In): number => i.n * 2;\n"}
	for _, c := range []struct {
		what  string
		items []item
		file  string
		want  string
	}{
		{"a package that says nothing", []item{{name: "index.ts", data: "import { twice, type In } from './lib';\nenum Kind { A, B }\nexport const handler = async (e: In) => ({ r: twice(e), k: Kind.B });"}, lib}, "index.js", `{"r":4,"k":1}`},
		{"imports with the extension, as Node.js strips types", []item{{name: "index.ts", data: "import { twice } from './lib.ts';\nexport const handler = async (e: any) => twice(e);"}, lib}, "index.js", "4"},
		{"an ES module", []item{{name: "package.json", data: `{"type":"module"}`}, {name: "index.ts", data: "import { twice } from './lib.ts';\nconst one = await Promise.resolve(1);\nexport const handler = async (e: any) => twice(e) + one;"}, lib}, "index.js", "5"},
		{".mts", []item{{name: "index.mts", data: "import { twice } from './lib.mts';\nexport const handler = async (e: any) => [twice(e), typeof import.meta.url];"}, {name: "lib.mts", data: lib.data}}, "index.mjs", `[4,"string"]`},
		{".cts in a package of modules", []item{{name: "package.json", data: `{"type":"module"}`}, {name: "index.cts", data: "const os = require('os');\nexports.handler = async (e: any): Promise<string> => typeof os.cpus;"}}, "index.cjs", `"function"`},
		{"JavaScript that is there already wins", []item{{name: "index.ts", data: "this is not TypeScript"}, {name: "index.js", data: "exports.handler = async () => 'js'"}}, "index.js", `"js"`},
	} {
		s := &shelf{}
		dir := unpacked(t, newCache(t, s), s.put(pack(t, c.items...)))
		if got := runNode(t, dir, c.file); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestPackageWithoutTypeMayAwaitAtTheTop(t *testing.T) {
	for src, kind := range map[string]string{"export const x = await 1;": "export {", "export const u = import.meta.url;": "export {", "export const x = 1;": "module.exports", "const x = require('x');": "require(\"x\")"} {
		got := script{Path: "index.ts", Source: src}.compile()
		if len(got.Mistakes) > 0 || !strings.Contains(got.Code, kind) {
			t.Errorf("%s: %+v", src, got)
		}
	}
}

func TestMistakesNameFileAndLine(t *testing.T) {
	s := &shelf{}
	zip := pack(t, item{name: "src/good.ts", data: "export const a = 1"}, item{name: "index.ts", data: "export const handler = async () => {\n  const x: number = ;\n}\n"},
		item{name: "types.d.ts", data: "nonsense ("}, item{name: "node_modules/x/index.ts", data: "nonsense ("})
	mistakes, err := (&Compiler{}).Mistakes(t.Context(), zip)
	if err != nil || len(mistakes) != 1 || mistakes[0].String() != `index.ts:2:21: Unexpected ";"` {
		t.Fatalf("%v %v", mistakes, err)
	}
	dir := unpacked(t, newCache(t, s), s.put(zip))
	got := runNode(t, dir, "index.js")
	if !strings.HasPrefix(got, "/var/task/index.ts:2\n  const x: number = ;\n"+strings.Repeat(" ", 20)+"^\n") || !strings.Contains(got, "at /var/task/index.ts:2:21") {
		t.Errorf("the function says:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/x/index.js")); err == nil {
		t.Error("an installed package was compiled")
	}
	if _, err := os.Stat(filepath.Join(dir, "src/good.js")); err != nil {
		t.Error(err)
	}
}

func TestNestedSourceEndsOnlyTheCompiler(t *testing.T) {
	deep := strings.Repeat("a=>", 200_000) + "1"
	zip := pack(t, item{name: "a.ts", data: "export const a: number = 1"}, item{name: "b.ts", data: deep}, item{name: "c.ts", data: "export const c: number = 1"}, item{name: "d.ts", data: strings.Repeat("//x\n", 2<<20)})
	mistakes, err := (&Compiler{}).Mistakes(t.Context(), zip)
	var names []string
	for _, m := range mistakes {
		names = append(names, m.Path)
	}
	if err != nil || !slices.Equal(names, []string{"b.ts", "d.ts"}) {
		t.Errorf("%v %v", mistakes, err)
	}
}

func TestNobodyListsTheCodeOfOthers(t *testing.T) {
	root := filepath.Join(t.TempDir(), "code")
	if _, err := NewCache(CacheOptions{Root: root}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o711 {
		t.Errorf("the code folder has the mode %v", info.Mode())
	}
}
