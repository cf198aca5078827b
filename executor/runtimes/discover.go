package runtimes

import (
	"context"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The oldest that the bootstraps run on.
const (
	oldestNode   = 18
	oldestPython = 9
)

const askTime = 10 * time.Second // a broken interpreter must not hold the start

// Installed is the folder of runtimes that Kiln installed.
func Installed(dataDir string) string { return filepath.Join(dataDir, "runtimes") }

func discover(ctx context.Context, dataDir string) []Runtime {
	candidates := append(binaries(nodePlaces(dataDir)), binaries(pythonPlaces())...)
	found := make([]*Runtime, len(candidates))
	var wg sync.WaitGroup
	for i, path := range candidates {
		wg.Go(func() { found[i] = ask(ctx, path) })
	}
	wg.Wait()
	return append(firstOfEachName(found), Runtime{Name: "provided.al2023", Family: Provided}, Runtime{Name: "provided.al2", Family: Provided})
}

// firstOfEachName keeps the order of the places: Kiln's own installation wins, then the system's, then a person's.
func firstOfEachName(found []*Runtime) []Runtime {
	var list []Runtime
	seen := map[string]bool{}
	for _, r := range found {
		if r != nil && !seen[r.Name] {
			seen[r.Name] = true
			list = append(list, *r)
		}
	}
	return list
}

func nodePlaces(dataDir string) []string {
	home, _ := os.UserHomeDir() // without a home only the other places are searched
	places := []string{filepath.Join(Installed(dataDir), "nodejs*.x/bin/node"), "/usr/bin/node", "/usr/bin/nodejs", "/usr/local/bin/node"}
	places = append(places, onPath("node")...)
	return append(places, filepath.Join(home, ".nvm/versions/node/*/bin/node"), "/opt/node*/bin/node")
}

func pythonPlaces() []string {
	home, _ := os.UserHomeDir()
	places := []string{"/usr/bin/python3.[0-9]*", "/usr/bin/python3", "/usr/local/bin/python3.[0-9]*"}
	places = append(places, onPath("python3.[0-9]*")...)
	for _, root := range []string{os.Getenv("PYENV_ROOT"), filepath.Join(home, ".pyenv")} {
		if filepath.IsAbs(root) {
			places = append(places, filepath.Join(root, "versions/*/bin/python3"))
		}
	}
	return append(places, filepath.Join(home, ".local/share/uv/python/*/bin/python3"), "/opt/python*/bin/python3")
}

func onPath(name string) []string {
	var places []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			places = append(places, filepath.Join(dir, name))
		}
	}
	return places
}

var interpreterName = regexp.MustCompile(`^(node|nodejs|python3(\.\d+)?)$`)

// binaries gives the real ELF files behind the patterns, each once. Shims are scripts and fall out: the real one is found at its own place.
func binaries(patterns []string) []string {
	var list []string
	seen := map[string]bool{}
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, path := range matches {
			if !interpreterName.MatchString(filepath.Base(path)) {
				continue
			}
			real, err := filepath.EvalSymlinks(path)
			if err != nil || seen[real] {
				continue
			}
			seen[real] = true
			if isELF(real) {
				list = append(list, real)
			}
		}
	}
	return list
}

func isELF(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func ask(ctx context.Context, path string) *Runtime {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if strings.HasPrefix(filepath.Base(path), "node") {
		return askNode(ctx, path)
	}
	return askPython(ctx, path)
}

// output runs an interpreter with an empty environment: what a person exported must not reach it.
func output(ctx context.Context, path string, args ...string) string {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func askNode(ctx context.Context, path string) *Runtime {
	version, ok := strings.CutPrefix(output(ctx, path, "--version"), "v")
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	prefix, bound := prefixOf(path)
	if !ok || err != nil || major < oldestNode || !bound {
		return nil
	}
	return &Runtime{Name: "nodejs" + strconv.Itoa(major) + ".x", Family: Node, Version: version, Binary: path, Prefix: prefix}
}

const pythonQuestion = `import sys,json;print(json.dumps([list(sys.version_info[:3]),getattr(sys,"_base_executable",sys.executable),sys.base_prefix]))`

func askPython(ctx context.Context, path string) *Runtime {
	var answer []json.RawMessage
	var number []int
	var binary, prefix string
	if json.Unmarshal([]byte(output(ctx, path, "-I", "-S", "-c", pythonQuestion)), &answer) != nil || len(answer) != 3 ||
		json.Unmarshal(answer[0], &number) != nil || json.Unmarshal(answer[1], &binary) != nil || json.Unmarshal(answer[2], &prefix) != nil {
		return nil
	}
	real, err := filepath.EvalSymlinks(binary)
	if err != nil || len(number) != 3 || number[0] != 3 || number[1] < oldestPython {
		return nil
	}
	name := "python3." + strconv.Itoa(number[1])
	bind, ok := prefixOf(real)
	if bind != filepath.Clean(prefix) && bind != "" {
		ok = false // a binary apart from its library: nothing narrow to bind
	}
	if !ok {
		return nil
	}
	return &Runtime{Name: name, Family: Python, Version: joinNumbers(number), Binary: real, Prefix: bind}
}

func joinNumbers(n []int) string {
	parts := make([]string, len(n))
	for i, v := range n {
		parts[i] = strconv.Itoa(v)
	}
	return strings.Join(parts, ".")
}

// prefixOf is the folder above bin that a driver binds; "" when it is under /usr, which every sandbox has.
// A folder that does not look like an installation is refused: binding somebody's home would widen the box.
func prefixOf(binary string) (prefix string, ok bool) {
	bin := filepath.Dir(binary)
	prefix = filepath.Dir(bin)
	if strings.HasPrefix(binary, "/usr/") {
		return "", true
	}
	if filepath.Base(bin) != "bin" || prefix == "/" {
		return "", false
	}
	for _, sign := range []string{"include/node/node_version.h", "lib/node_modules", mark, "lib/python3*/os.py"} {
		if m, _ := filepath.Glob(filepath.Join(prefix, sign)); len(m) > 0 {
			return prefix, true
		}
	}
	return "", false
}
