package code

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"kiln/lambda"
)

func TestFilesTellTextFromTheRest(t *testing.T) {
	large := strings.Repeat("x", MaxEditable+1)
	files, err := Files(pack(t, item{name: "z.js", data: "é\n"}, item{name: "d/", mode: fs.ModeDir | 0o755}, item{name: "a.bin", data: "\x00"}, item{name: "latin1.txt", data: "\xe9"},
		item{name: "large.txt", data: large}, item{name: "large.bin", data: "\x00" + large}, item{name: "empty"}, item{name: "run", data: "x", mode: 0o700}, item{name: "link", data: "z.js", mode: fs.ModeSymlink | 0o777}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		kind := "text"
		switch {
		case f.Binary && f.Large:
			kind = "large binary"
		case f.Large:
			kind = "large text"
		case f.Binary:
			kind = "binary"
		}
		if (f.Data != nil) != (kind == "text" && f.Size > 0) {
			t.Errorf("%s: data %v", f.Path, f.Data != nil)
		}
		got = append(got, f.Path+" "+kind)
	}
	want := "a.bin binary, empty text, large.bin large binary, large.txt large text, latin1.txt binary, link binary, run text, z.js text"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("%s", s)
	}
	if f := files[6]; f.Mode != 0o755 {
		t.Errorf("run has mode %o", f.Mode)
	}
}

func TestBuildGivesTheSameBytesForTheSameFiles(t *testing.T) {
	a := []lambda.File{{Path: "b/c.js", Data: []byte("1")}, {Path: "a.js", Data: []byte("2"), Mode: 0o700}, {Path: "bootstrap", Data: []byte("3")}, {Path: "empty"}}
	b := []lambda.File{a[3], a[2], a[1], a[0]}
	x, err := Build(a)
	y, err2 := Build(b)
	if err != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Fatalf("%v %v, equal %v", err, err2, bytes.Equal(x, y))
	}
	files, err := Files(x)
	if err != nil || len(files) != 4 || files[0].Mode != 0o755 || files[1].Mode != 0o644 || files[2].Mode != 0o755 {
		t.Errorf("%+v %v", files, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	for key, files := range map[string][]lambda.File{
		"zip.outside":   {{Path: "../a", Data: []byte("1")}},
		"zip.absolute":  {{Path: "/a", Data: []byte("1")}},
		"zip.name":      {{Path: "./a", Data: []byte("1")}},
		"zip.duplicate": {{Path: "a", Data: []byte("1")}, {Path: "a", Data: []byte("2")}},
		"zip.parent":    {{Path: "a", Data: []byte("1")}, {Path: "a/b", Data: []byte("2")}},
		"zip.noData":    {{Path: "a", Size: 5, Binary: true}},
		"zip.empty":     nil,
	} {
		if _, err := Build(files); lambda.KeyOf(err) != key {
			t.Errorf("%v, want %s", err, key)
		}
	}
}

func TestMergeKeepsWhatTheDraftDidNotTouch(t *testing.T) {
	old := pack(t, item{name: "./a.js", data: "1"}, item{name: "gone.js", data: "1"}, item{name: "lib.so", data: "\x7fELF\x00\xff", mode: 0o755}, item{name: "run.sh", data: "ls", mode: 0o755},
		item{name: "link", data: "a.js", mode: fs.ModeSymlink | 0o777}, item{name: "d/", mode: fs.ModeDir | 0o755})
	drafts := []lambda.DraftFile{{Path: "a.js", Data: []byte("2")}, {Path: "gone.js", Deleted: true}, {Path: "run.sh", Data: []byte("ps")}, {Path: "lib/new.js", Data: []byte("3")}, {Path: "bootstrap", Data: []byte("#!")}}
	got, err := Merge(old, drafts)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Merge(old, drafts); !bytes.Equal(got, again) {
		t.Error("the same draft gives other bytes")
	}
	a, err := openBytes(got)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.js": "2", "lib.so": "\x7fELF\x00\xff", "run.sh": "ps", "lib/new.js": "3", "bootstrap": "#!"} {
		data, err := a.byPath[name].data()
		if err != nil || string(data) != want {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	if a.byPath["gone.js"] != nil || a.byPath["link"].link != "a.js" || a.byPath["run.sh"].mode != 0o755 || a.byPath["bootstrap"].mode != 0o755 {
		t.Errorf("%+v", a.byPath)
	}
	if !bytes.Equal(raw(t, old, "lib.so"), raw(t, got, "lib.so")) {
		t.Error("an untouched file was packed again")
	}
}

// raw are the packed bytes of a file.
func raw(t *testing.T, data []byte, name string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if f.Name == name {
			off, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			return data[off : off+int64(f.CompressedSize64)]
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

func TestMergeRefusesWhatWouldBreakThePackage(t *testing.T) {
	old := pack(t, item{name: "a.js", data: "1"}, item{name: "link", data: ".", mode: fs.ModeSymlink | 0o777})
	for key, d := range map[string]lambda.DraftFile{
		"zip.outside": {Path: "../a.js"}, "zip.parent": {Path: "link/x.js", Data: []byte("1")}, "zip.name": {Path: "b/../c"},
	} {
		if d.Path == "b/../c" {
			key = "zip.outside"
		}
		if _, err := Merge(old, []lambda.DraftFile{d}); lambda.KeyOf(err) != key {
			t.Errorf("%s: %v, want %s", d.Path, err, key)
		}
	}
}

func TestReadFile(t *testing.T) {
	zip := pack(t, item{name: "a.bin", data: "\x00\x01"}, item{name: "d/", mode: fs.ModeDir | 0o755})
	if got, err := ReadFile(zip, "a.bin"); err != nil || string(got) != "\x00\x01" {
		t.Errorf("%q %v", got, err)
	}
	for _, name := range []string{"b", "d", "../a.bin"} {
		if _, err := ReadFile(zip, name); lambda.KindOf(err) != lambda.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}
