//go:build unix && !linux

package postgres

import "syscall"

// attributes make the child run as its owner. There is no parent-death signal here: PostgreSQL outlives a killed server,
// and the next start finds it by its pid file.
func (o owner) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	o.credential(a)
	return a
}

// isPostgres trusts the pid file: there is no /proc to ask.
func isPostgres(pid int) bool { return syscall.Kill(pid, 0) == nil }
