//go:build unix

package postgres

import (
	"io/fs"
	"os"
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

// uidOf is the user who has a file; false when there is none.
func uidOf(path string) (int, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
