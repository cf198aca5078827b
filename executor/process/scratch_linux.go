package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// scratch makes the boxes' /tmp: ext4 in a sparse image without a name, on a loop device that lets go by itself.
// When the box ends, its last mount goes, the loop device with it, and the image's blocks with that: after any crash nothing is left to clean.
type scratch struct {
	dir string // where images are made
	mu  sync.Mutex
	// One made file system per size in MB, copied for each box: making one takes 20 ms, a copy 0.3.
	templates map[int]*os.File
	// Made ahead for new boxes, of the common size: loop device and mount take 8 ms, most of it waiting.
	spare     chan int
	commonMB  int
	refilling sync.WaitGroup
	closing   chan struct{}
}

const spares = 4

const maxTemplates = 16

// newScratch fails where the machine has no mkfs.ext4 or no loop devices.
func newScratch(dir string, sizeMB int) (*scratch, error) {
	s := &scratch{dir: dir, templates: map[int]*os.File{}, spare: make(chan int, spares), commonMB: sizeMB, closing: make(chan struct{})}
	fd, err := s.make(sizeMB)
	if err != nil {
		return nil, err
	}
	s.spare <- fd
	s.refilling.Go(s.refill)
	return s, nil
}

// refill keeps spares until close.
func (s *scratch) refill() {
	for {
		fd, err := s.make(s.commonMB)
		if err != nil {
			return // boxes make their own, and meet the error
		}
		select {
		case s.spare <- fd:
		case <-s.closing:
			unix.Close(fd)
			return
		}
	}
}

// mount gives a detached, empty file system of that size.
func (s *scratch) mount(sizeMB int) (int, error) {
	if sizeMB == s.commonMB {
		select {
		case fd := <-s.spare:
			return fd, nil
		default:
		}
	}
	return s.make(sizeMB)
}

func (s *scratch) make(sizeMB int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	template, err := s.template(sizeMB)
	if err != nil {
		return -1, err
	}
	image, err := s.image()
	if err != nil {
		return -1, err
	}
	defer image.Close()
	if err := copySparse(image, template); err != nil {
		return -1, fmt.Errorf("copy the /tmp image: %w", err)
	}
	return mountImage(image)
}

func (s *scratch) image() (*os.File, error) {
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a /tmp image in %s: %w", s.dir, err)
	}
	return os.NewFile(uintptr(fd), "image"), nil
}

func (s *scratch) template(sizeMB int) (*os.File, error) {
	if t := s.templates[sizeMB]; t != nil {
		return t, nil
	}
	if len(s.templates) >= maxTemplates {
		s.drop()
	}
	t, err := s.image()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(t.Truncate(int64(sizeMB)<<20), makeExt4(t), openForAll(t)); err != nil {
		t.Close()
		return nil, err
	}
	s.templates[sizeMB] = t
	return t, nil
}

func makeExt4(image *os.File) error {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		if mkfs, err = exec.LookPath("/usr/sbin/mkfs.ext4"); err != nil {
			return fmt.Errorf("mkfs.ext4 is not installed: %w", err)
		}
	}
	cmd := exec.Command(mkfs, "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "/proc/self/fd/3")
	cmd.Env = []string{"PATH=/usr/sbin:/sbin:/usr/bin:/bin", "MKE2FS_CONFIG=/dev/null"}
	cmd.ExtraFiles = []*os.File{image}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %.200s", err, out)
	}
	return nil
}

// openForAll makes the file system's root a /tmp: writable for everybody, empty.
func openForAll(image *os.File) error {
	fd, err := mountImage(image)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Unlinkat(fd, "lost+found", unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("empty the /tmp image: %w", err)
	}
	return unix.Fchmodat(fd, ".", 0o1777, 0)
}

// mountImage puts an image on a free loop device and mounts it.
func mountImage(image *os.File) (int, error) {
	loop, path, err := attachLoop(image)
	if err != nil {
		return -1, err
	}
	defer unix.Close(loop) // the mount keeps the device
	return newMount("ext4", attrData, "source="+path, "noinit_itable", "errors=continue")
}

func attachLoop(image *os.File) (fd int, path string, err error) {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("loop devices: %w", err)
	}
	defer unix.Close(control)
	conf := &unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	for range 50 { // another process may take the free device first
		n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return -1, "", fmt.Errorf("find a free loop device: %w", err)
		}
		path = "/dev/loop" + strconv.Itoa(n)
		if fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return -1, "", fmt.Errorf("open %s: %w", path, err)
		}
		if err = unix.IoctlLoopConfigure(fd, conf); err == nil {
			return fd, path, nil
		}
		unix.Close(fd)
		if !errors.Is(err, unix.EBUSY) {
			return -1, "", fmt.Errorf("set up %s: %w", path, err)
		}
	}
	return -1, "", errors.New("every loop device was taken by somebody else")
}

// copySparse copies the parts of src that hold data.
func copySparse(dst, src *os.File) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	in := int(src.Fd())
	for at := int64(0); ; {
		start, err := unix.Seek(in, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // no data after this
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, end-start)); err != nil {
			return err
		}
		at = end
	}
}

func (s *scratch) close() {
	close(s.closing)
	s.refilling.Wait()
	close(s.spare)
	for fd := range s.spare {
		unix.Close(fd)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

func (s *scratch) drop() {
	for size, t := range s.templates {
		t.Close()
		delete(s.templates, size)
	}
}
