package code

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kiln/lambda"
)

// MaxEditable is the size in bytes up to which a text file is given to the editor.
const MaxEditable = 3 << 20

// maxListed bounds the text of all files of one tree together; what comes after is listed as Large.
const maxListed = 32 << 20

// Files is the package as a tree, sorted by path, folders left out. Text up to MaxEditable comes with its data;
// Binary files (links are shown as such) and Large ones are listed without.
func Files(zip []byte) ([]lambda.File, error) {
	a, err := openBytes(zip)
	if err != nil {
		return nil, err
	}
	var files []lambda.File
	room := int64(maxListed)
	for _, e := range a.sorted() {
		if e.mode.IsDir() {
			continue
		}
		f, err := e.show(&room)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func (a *archive) sorted() []*entry {
	return slices.SortedFunc(slices.Values(a.entries), func(x, y *entry) int { return strings.Compare(x.path, y.path) })
}

func (e *entry) show(room *int64) (lambda.File, error) {
	f := lambda.File{Path: e.path, Size: int64(e.file.UncompressedSize64), Mode: uint32(e.mode.Perm())}
	if e.mode.Type() == fs.ModeSymlink {
		f.Binary = true
		return f, nil
	}
	if f.Size > MaxEditable || f.Size > *room {
		text, err := e.startsAsText()
		f.Binary, f.Large = !text, true
		return f, err
	}
	data, err := e.data()
	if err != nil {
		return f, err
	}
	if f.Binary = !isText(data); !f.Binary {
		f.Data = data
		*room -= f.Size
	}
	return f, nil
}

func (e *entry) startsAsText() (bool, error) {
	r, err := e.file.Open()
	if err != nil {
		return false, e.damaged(err)
	}
	defer r.Close()
	head := make([]byte, 8192)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return false, e.damaged(err)
	}
	head = head[:n]
	for cut := 0; cut < utf8.UTFMax && len(head) > 0 && !utf8.Valid(head); cut++ {
		head = head[:len(head)-1]
	}
	return isText(head), nil
}

// isText says whether an editor can show data and give back the same bytes.
func isText(data []byte) bool {
	return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

// ReadFile is one file of a package, whole. NotFound "file.missing".
func ReadFile(zip []byte, path string) ([]byte, error) {
	a, err := openBytes(zip)
	if err != nil {
		return nil, err
	}
	e := a.byPath[path]
	if e == nil || !e.mode.IsRegular() {
		return nil, lambda.E(lambda.NotFound, "file.missing", "path", path)
	}
	return e.data()
}

// Build makes a package of files. The same files give the same bytes, in whatever order they come.
// It refuses what Check would refuse, and files that were listed without their data (Invalid "zip.noData").
func Build(files []lambda.File) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(files), func(x, y lambda.File) int { return strings.Compare(x.Path, y.Path) })
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range sorted {
		if f.Data == nil && f.Size > 0 {
			return nil, lambda.E(lambda.Invalid, "zip.noData", "path", f.Path)
		}
		if err := writeFile(w, f.Path, f.Mode, f.Data); err != nil {
			return nil, err
		}
	}
	return finish(w, &out)
}

// Merge is the package after a draft: untouched files keep their bytes as they were packed, changed ones their mode.
func Merge(zip []byte, drafts []lambda.DraftFile) ([]byte, error) {
	a, err := openBytes(zip)
	if err != nil {
		return nil, err
	}
	changed, err := byDraftPath(drafts)
	if err != nil {
		return nil, err
	}
	return a.merge(changed)
}

// byDraftPath takes the last of two changes to one path.
func byDraftPath(drafts []lambda.DraftFile) (map[string]lambda.DraftFile, error) {
	m := make(map[string]lambda.DraftFile, len(drafts))
	for _, d := range drafts {
		if err := checkDraftPath(d.Path); err != nil {
			return nil, err
		}
		m[d.Path] = d
	}
	return m, nil
}

func checkDraftPath(name string) error {
	clean, err := cleanPath(name)
	if err != nil {
		return err
	}
	if clean != name || clean == "." {
		return lambda.E(lambda.Invalid, "zip.name", "path", name)
	}
	return nil
}

func (a *archive) merge(changed map[string]lambda.DraftFile) ([]byte, error) {
	paths := make(map[string]bool, len(a.byPath)+len(changed))
	for p := range a.byPath {
		paths[p] = true
	}
	for p := range changed {
		paths[p] = true
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		d, isChanged := changed[p]
		if err := mergeOne(w, a.byPath[p], p, d, isChanged); err != nil {
			return nil, err
		}
	}
	return finish(w, &out)
}

func mergeOne(w *zip.Writer, old *entry, path string, d lambda.DraftFile, isChanged bool) error {
	switch {
	case !isChanged && old.mode.IsDir():
		return writeFolder(w, path)
	case !isChanged:
		if err := w.Copy(old.file); err != nil {
			return old.damaged(err)
		}
		return nil
	case d.Deleted:
		return nil
	case old != nil && old.mode.IsRegular():
		return writeFile(w, path, uint32(old.mode.Perm()), d.Data)
	default:
		return writeFile(w, path, 0o644, d.Data)
	}
}

func writeFile(w *zip.Writer, path string, mode uint32, data []byte) error {
	if err := checkDraftPath(path); err != nil {
		return err
	}
	h := &zip.FileHeader{Name: path, Method: zip.Deflate}
	h.SetMode(fs.FileMode(plainMode(path, mode)))
	f, err := w.CreateHeader(h)
	if err != nil {
		return lambda.E(lambda.Invalid, "zip.name", "path", path).Because(err)
	}
	_, err = f.Write(data)
	return err
}

// writeFolder makes a folder's entry anew: nothing of the old one was ever read.
func writeFolder(w *zip.Writer, path string) error {
	h := &zip.FileHeader{Name: path + "/"}
	h.SetMode(fs.ModeDir | 0o755)
	_, err := w.CreateHeader(h)
	return err
}

// finish closes the zip and holds it to the rules that an upload is held to.
func finish(w *zip.Writer, out *bytes.Buffer) ([]byte, error) {
	if err := w.Close(); err != nil {
		return nil, err
	}
	if out.Len() > lambda.MaxZip {
		return nil, lambda.E(lambda.TooLarge, "zip.size", "size", strconv.Itoa(out.Len()), "max", strconv.Itoa(lambda.MaxZip))
	}
	a, err := openBytes(out.Bytes())
	if err != nil {
		return nil, err
	}
	return out.Bytes(), a.notEmpty()
}
