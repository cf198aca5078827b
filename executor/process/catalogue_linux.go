package process

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runtimes"
	"kiln/lambda"
)

// catalogue is the runtimes that a spawner knows. Looking is done by one at a time; it is safe for concurrent use.
type catalogue struct {
	looking sync.Mutex
	known   []runtimes.Runtime
}

// isInstalledName says whether Kiln installs runtimes of this name: nodejs<number>.x.
func isInstalledName(name string) bool {
	n, ok := strings.CutPrefix(name, "nodejs")
	n, dot := strings.CutSuffix(n, ".x")
	return ok && dot && n != "" && len(n) <= 3 && only(n, "0123456789")
}

// hostRuntimes are the machine's own, asked for their versions. The data folder is left out: what lies there was written by the server.
func hostRuntimes() []runtimes.Runtime {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return runtimes.Discover(ctx, "/nonexistent").All()
}

// look searches anew.
func (c *catalogue) look(cfg Config, dataFd int) []runtimes.Runtime {
	c.looking.Lock()
	defer c.looking.Unlock()
	return c.lookLocked(cfg, dataFd)
}

func (c *catalogue) lookLocked(cfg Config, dataFd int) []runtimes.Runtime {
	found := installedRuntimes(cfg.Data, dataFd)
	for _, rt := range cfg.Discover() {
		if !slices.ContainsFunc(found, func(have runtimes.Runtime) bool { return have.Name == rt.Name }) {
			found = append(found, rt)
		}
	}
	c.known = found
	return found
}

// find gives the runtime of this name; it looks again when the name is new, because one may have been installed since.
func (c *catalogue) find(name string, cfg Config, dataFd int) (runtimes.Runtime, error) {
	c.looking.Lock()
	defer c.looking.Unlock()
	named := func(rt runtimes.Runtime) bool { return rt.Name == name }
	if i := slices.IndexFunc(c.known, named); i >= 0 {
		return c.known[i], nil
	}
	if isInstalledName(name) || len(c.known) == 0 {
		c.lookLocked(cfg, dataFd)
	}
	if i := slices.IndexFunc(c.known, named); i >= 0 {
		readAhead(c.known[i].Binary, cfg.Data, dataFd)
		return c.known[i], nil
	}
	return runtimes.Runtime{}, lambda.E(lambda.Unavailable, "runtime.missing", "runtime", name)
}

// readAhead brings the interpreter into the page cache, which is charged to who reads first: a box would show it as its own peak.
func readAhead(binary, data string, dataFd int) {
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK}
	dir := unix.AT_FDCWD
	if below(binary, data) { // the server's: no link is followed
		dir, binary, how.Resolve = dataFd, binary[len(data)+1:], unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(dir, binary, how)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED) // only a hint
}

// installedRuntimes are those below the data folder, by their names alone: nothing there is run or read, links are not followed.
func installedRuntimes(data string, dataFd int) []runtimes.Runtime {
	dir, err := openBeneath(dataFd, filepath.Base(runtimes.Installed(data)))
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	readable, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(readable), "runtimes")
	defer f.Close()
	names, err := f.Readdirnames(1000)
	if err != nil {
		return nil
	}
	var found []runtimes.Runtime
	for _, name := range names {
		if !isInstalledName(name) {
			continue
		}
		if fd, err := openBeneath(dir, name+"/bin"); err == nil {
			unix.Close(fd)
			prefix := filepath.Join(runtimes.Installed(data), name)
			found = append(found, runtimes.Runtime{Name: name, Family: runtimes.Node, Binary: filepath.Join(prefix, "bin/node"), Prefix: prefix})
		}
	}
	return found
}
