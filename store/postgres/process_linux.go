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

// isPostgres says whether pid is a PostgreSQL process; a recycled pid is not.
func isPostgres(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(b)), "postgres")
}
