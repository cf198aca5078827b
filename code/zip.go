// Package code reads packages that anybody may have made, shows and changes them as file trees, builds them again byte for byte,
// and unpacks each of them once into a folder named by its SHA-256.
package code

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"kiln/lambda"
)

const (
	// MaxEntries is how many files and folders a package may have.
	MaxEntries = 65_535
	// maxDirectory bounds the bytes of a zip's directory, and so the memory that reading it takes.
	maxDirectory = 12 << 20
	maxPath      = 1024
	maxName      = 255
	maxDepth     = 100
	maxLink      = 1024
)

// entry is one checked file, folder or symbolic link of a package.
type entry struct {
	path string // clean, relative, slash-separated
	file *zip.File
	mode fs.FileMode // type bits and 0644 or 0755; nothing else survives
	link string      // target of a symbolic link
}

// archive is a package whose names, types and declared sizes have been checked.
type archive struct {
	entries []*entry
	byPath  map[string]*entry
}

// Check reads the whole package and reports the first rule that it breaks: TooLarge "zip.size", else Invalid "zip.…".
// It trusts no header: what is counted is what comes out.
func Check(zip []byte) error {
	a, err := openBytes(zip)
	if err != nil {
		return err
	}
	left := int64(lambda.MaxUnzipped)
	for _, e := range a.entries {
		if err := e.copyTo(io.Discard, &left); err != nil {
			return err
		}
	}
	return a.notEmpty()
}

func (a *archive) notEmpty() error {
	for _, e := range a.entries {
		if !e.mode.IsDir() {
			return nil
		}
	}
	return lambda.E(lambda.Invalid, "zip.empty")
}

func openBytes(zip []byte) (*archive, error) { return open(bytes.NewReader(zip), int64(len(zip))) }

// open checks everything that can be known without unpacking.
func open(r io.ReaderAt, size int64) (*archive, error) {
	if size > lambda.MaxZip {
		return nil, lambda.E(lambda.TooLarge, "zip.size", "size", strconv.FormatInt(size, 10), "max", strconv.Itoa(lambda.MaxZip))
	}
	budget := &budgetReader{r: r, left: maxDirectory}
	z, err := zip.NewReader(budget, size)
	if budget.left < 0 {
		return nil, tooMany()
	}
	if err != nil {
		return nil, lambda.E(lambda.Invalid, "zip.format").Because(err)
	}
	budget.off = true
	if len(z.File) > MaxEntries {
		return nil, tooMany()
	}
	return newArchive(z)
}

func tooMany() error {
	return lambda.E(lambda.Invalid, "zip.entries", "max", strconv.Itoa(MaxEntries))
}

func newArchive(z *zip.Reader) (*archive, error) {
	a := &archive{byPath: make(map[string]*entry, len(z.File))}
	var declared uint64
	for _, f := range z.File {
		declared += min(f.UncompressedSize64, lambda.MaxUnzipped+1)
		if declared > lambda.MaxUnzipped {
			return nil, tooLargeUnzipped()
		}
		e, err := newEntry(f)
		if err != nil {
			return nil, err
		}
		if err := a.add(e); err != nil {
			return nil, err
		}
	}
	return a, a.checkTree()
}

func tooLargeUnzipped() error {
	return lambda.E(lambda.Invalid, "zip.unzipped", "max", strconv.Itoa(lambda.MaxUnzipped))
}

// add keeps names apart by their exact bytes, as Lambda's file system does. A folder may be named twice.
func (a *archive) add(e *entry) error {
	if e.path == "." {
		return nil
	}
	if old := a.byPath[e.path]; old != nil {
		if old.mode.IsDir() && e.mode.IsDir() {
			return nil
		}
		return lambda.E(lambda.Invalid, "zip.duplicate", "path", e.path)
	}
	a.byPath[e.path] = e
	a.entries = append(a.entries, e)
	return nil
}

// checkTree refuses entries below something that is no folder: with it, a link can never lie on the way to a file.
func (a *archive) checkTree() error {
	for _, e := range a.entries {
		for dir := path.Dir(e.path); dir != "."; dir = path.Dir(dir) {
			if p := a.byPath[dir]; p != nil && !p.mode.IsDir() {
				return lambda.E(lambda.Invalid, "zip.parent", "path", e.path, "parent", dir)
			}
		}
	}
	return nil
}

func newEntry(f *zip.File) (*entry, error) {
	name, err := cleanPath(f.Name)
	if err != nil {
		return nil, err
	}
	if f.Flags&0x2041 != 0 { // encrypted, strongly encrypted, or with a masked directory
		return nil, lambda.E(lambda.Invalid, "zip.encrypted", "path", name)
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return nil, lambda.E(lambda.Invalid, "zip.method", "path", name, "method", strconv.Itoa(int(f.Method)))
	}
	e := &entry{path: name, file: f}
	switch raw := f.Mode(); raw.Type() {
	case 0:
		e.mode = fs.FileMode(plainMode(name, uint32(raw.Perm())))
	case fs.ModeDir:
		e.mode = fs.ModeDir | 0o755
	case fs.ModeSymlink:
		e.mode = fs.ModeSymlink | 0o777
		return e, e.readLink()
	default:
		return nil, lambda.E(lambda.Invalid, "zip.type", "path", name)
	}
	return e, nil
}

// plainMode leaves of a file's mode only whether it can be run: every user of a sandbox must be able to read it and none to change it.
// A custom runtime's bootstrap always can be run, also when the zip was made where files have no such bit.
func plainMode(name string, mode uint32) uint32 {
	if mode&0o111 != 0 || name == "bootstrap" {
		return 0o755
	}
	return 0o644
}

var drivePattern = regexp.MustCompile(`^[A-Za-z]:`)

// cleanPath is the path below the package's root, or the rule that it breaks.
func cleanPath(name string) (string, error) {
	bad := func(key string) (string, error) {
		shown := strings.ToValidUTF8(name, "�")
		return "", lambda.E(lambda.Invalid, key, "path", shown[:min(len(shown), 200)])
	}
	switch {
	case name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return bad("zip.name")
	case len(name) > maxPath || strings.Count(name, "/") > maxDepth:
		return bad("zip.pathLong")
	case strings.ContainsRune(name, '\\'):
		return bad("zip.backslash")
	case name[0] == '/' || drivePattern.MatchString(name):
		return bad("zip.absolute")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return bad("zip.outside")
		}
		if len(part) > maxName {
			return bad("zip.pathLong")
		}
	}
	return path.Clean(name), nil
}

// readLink reads and checks a link's target. Climbing is allowed only at its start, where every step is a real folder, and only as far as the root;
// so whatever other links the rest goes through, it ends inside.
func (e *entry) readLink() error {
	var b bytes.Buffer
	left := int64(maxLink)
	if err := e.copyTo(&b, &left); err != nil {
		return lambda.E(lambda.Invalid, "zip.link", "path", e.path, "target", "").Because(err)
	}
	e.link = b.String()
	if !linkInside(e.path, e.link) {
		shown := strings.ToValidUTF8(e.link, "�")
		return lambda.E(lambda.Invalid, "zip.link", "path", e.path, "target", shown[:min(len(shown), 200)])
	}
	return nil
}

func linkInside(from, target string) bool {
	if target == "" || target[0] == '/' || !utf8.ValidString(target) || strings.ContainsAny(target, "\x00\\") {
		return false
	}
	ups := strings.Count(from, "/")
	climbing := true
	for part := range strings.SplitSeq(target, "/") {
		if part != ".." {
			climbing = climbing && part == "."
			continue
		}
		ups--
		if !climbing || ups < 0 {
			return false
		}
	}
	return true
}

// copyTo unpacks the entry into w and takes what came out from *left.
func (e *entry) copyTo(w io.Writer, left *int64) error {
	if e.mode.IsDir() {
		return nil
	}
	r, err := e.file.Open()
	if err != nil {
		return e.damaged(err)
	}
	n, err := io.Copy(&writerOnly{w: w}, io.LimitReader(r, *left+1))
	*left -= n
	if *left < 0 {
		_ = r.Close()
		return tooLargeUnzipped()
	}
	if werr, ok := err.(*writeError); ok {
		_ = r.Close()
		return werr.err
	}
	if err != nil {
		_ = r.Close()
		return e.damaged(err)
	}
	return r.Close()
}

func (e *entry) damaged(err error) error {
	return lambda.E(lambda.Invalid, "zip.damaged", "path", e.path).Because(err)
}

// data is the entry's content.
func (e *entry) data() ([]byte, error) {
	var b bytes.Buffer
	left := int64(lambda.MaxUnzipped)
	err := e.copyTo(&b, &left)
	return b.Bytes(), err
}

// writerOnly tells a full disk from a damaged zip.
type writerOnly struct{ w io.Writer }

type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

func (w *writerOnly) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		return n, &writeError{err}
	}
	return n, nil
}

// budgetReader stops a directory that is larger than any honest one before it fills the memory.
type budgetReader struct {
	r    io.ReaderAt
	left int64
	off  bool
}

func (b *budgetReader) ReadAt(p []byte, at int64) (int, error) {
	if b.off {
		return b.r.ReadAt(p, at)
	}
	b.left -= int64(len(p))
	if b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return b.r.ReadAt(p, at)
}
