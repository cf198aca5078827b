package process

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	attrReadOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	attrData     = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// cloneTree makes a detached, private copy of the mount at path (relative to dir; "" is dir itself), with attributes for all of it.
// Nobody sees it until it is moved somewhere; closing the descriptor ends it.
func cloneTree(dir int, path string, attr uint64) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return -1, fmt.Errorf("clone mount %s: %w", path, err)
	}
	set := &unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, set); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set mount attributes of %s: %w", path, err)
	}
	return fd, nil
}

// cloneBeneath is cloneTree for folders that the server writes: name is resolved below dir and never through a link.
func cloneBeneath(dir int, name string, attr uint64) (int, error) {
	fd, err := openBeneath(dir, name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return cloneTree(fd, "", attr)
}

func openBeneath(dir int, name string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, name, how)
	if err != nil {
		return -1, fmt.Errorf("open folder %s: %w", name, err)
	}
	return fd, nil
}

// stack merges folders, lowest first, into one read-only mount.
func stack(folders []int) (int, error) {
	if len(folders) == 1 {
		return cloneTree(folders[0], "", attrReadOnly)
	}
	var lower []string
	for _, fd := range folders {
		lower = append([]string{fmt.Sprintf("/proc/self/fd/%d", fd)}, lower...)
	}
	return newMount("overlay", attrReadOnly, "lowerdir="+strings.Join(lower, ":"))
}

// newMount makes a detached file system; options are "name=value" or flags.
func newMount(kind string, attr int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		name, value, ok := strings.Cut(o, "=")
		if ok {
			err = unix.FsconfigSetString(fs, name, value)
		} else {
			err = unix.FsconfigSetFlag(fs, name)
		}
		if err != nil {
			return -1, fmt.Errorf("%s option %s: %w", kind, o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w", kind, err)
	}
	return fd, nil
}

func attach(fd int, at string) error {
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount at %s: %w", at, err)
	}
	return nil
}

// below says whether path is dir or inside it; both are clean and absolute.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
