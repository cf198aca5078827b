package postgres

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes make the child end with the thread that started it, and run as its owner.
func (o owner) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT, Setpgid: true}
	o.credential(a)
	return a
}

// isPostgres says whether pid is a running PostgreSQL process; a recycled pid and one that has ended and was not collected are not.
func isPostgres(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // "pid (name) state …"
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), "(")
	end := strings.LastIndex(rest, ") ")
	return strings.HasPrefix(rest, "postgres") && end > 0 && end+2 < len(rest) && !strings.ContainsRune("ZX", rune(rest[end+2]))
}
