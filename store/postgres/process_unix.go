//go:build unix

package postgres

import (
	"io/fs"
	"syscall"
)

func (o owner) credential(a *syscall.SysProcAttr) {
	if o.drop {
		a.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
}

func (o owner) owns(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == o.uid && info.Mode().Perm()&0o100 != 0
}
