package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// owner is the unprivileged user that PostgreSQL runs as when this process is root; the zero value means this process's own user.
type owner struct {
	drop     bool
	name     string
	uid, gid int
}

// chooseOwner is this process's own user unless it is root, because PostgreSQL refuses to run as root: then it is the user who has
// the data already, else kiln, else postgres.
func chooseOwner(data string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	if uid, ok := uidOf(data); ok && uid != 0 {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			return ownerOf(u)
		}
	}
	for _, name := range []string{"kiln", "postgres"} {
		if u, err := user.Lookup(name); err == nil {
			return ownerOf(u)
		}
	}
	return owner{}, errors.New("as root, PostgreSQL needs an unprivileged user: make one called kiln or postgres")
}

func ownerOf(u *user.User) (owner, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return owner{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return owner{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return owner{drop: true, name: u.Username, uid: uid, gid: gid}, nil
}

// folder makes dir (0700) for the owner and checks that he can reach it.
func (o owner) folder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the database's folder: %w", err)
	}
	if !o.drop {
		return nil
	}
	if err := os.Chown(dir, o.uid, o.gid); err != nil {
		return fmt.Errorf("give the database's folder to %s: %w", o.name, err)
	}
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return fmt.Errorf("database's folder: %w", err)
		}
		if info.Mode().Perm()&0o001 == 0 && !o.owns(info) {
			return fmt.Errorf("user %s cannot reach %s, because %s is closed to him; use another data folder", o.name, dir, d)
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}
