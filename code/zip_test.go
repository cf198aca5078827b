package code

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"kiln/lambda"
)

// item is one entry of a made zip.
type item struct {
	name string
	data string
	mode fs.FileMode // with type bits; 0 is 0644
}

func pack(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, i := range items {
		h := &zip.FileHeader{Name: i.name, Method: zip.Deflate}
		if i.mode == 0 {
			i.mode = 0o644
		}
		h.SetMode(i.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, i.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deflatedZeros packs n MiB of zero bytes: one packed MiB that refers to the zeros before it, again and again.
func deflatedZeros(t testing.TB, n int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	d, err := flate.NewWriter(&packed, 9)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]int
	for i := range ends {
		if _, err := d.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		ends[i] = packed.Len()
	}
	first, again := bytes.Clone(packed.Bytes()[:ends[0]]), bytes.Clone(packed.Bytes()[ends[0]:ends[1]])
	end := []byte{1, 0, 0, 0xff, 0xff} // an empty last block
	return slices.Concat(first, bytes.Repeat(again, int(n-1)), end)
}

// zeros is a zip with one file of n MiB of zero bytes that says it has `says` bytes.
func zeros(t testing.TB, n, says int64) []byte {
	t.Helper()
	packed := deflatedZeros(t, n)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&zip.FileHeader{Name: "zeros", Method: zip.Deflate, CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(says)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(packed); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// patch replaces bytes in every directory header of a zip.
func patch(zip []byte, change func(header []byte)) []byte {
	out := bytes.Clone(zip)
	for at := 0; ; {
		i := bytes.Index(out[at:], []byte("PK\x01\x02"))
		if i < 0 {
			return out
		}
		change(out[at+i:])
		at += i + 4
	}
}

func TestHostileZipsAreRefused(t *testing.T) {
	good := item{name: "index.js", data: "exports.handler = async () => 1"}
	for _, c := range []struct {
		what string
		zip  []byte
		key  string
	}{
		{"a good package", pack(t, good), ""},
		{"folders, ./ and a folder named twice", pack(t, item{name: "./lib/", mode: fs.ModeDir | 0o777}, item{name: "lib/", mode: fs.ModeDir | 0o700}, item{name: "./lib/a.js"}, good), ""},
		{"names that differ in case only", pack(t, item{name: "A.js"}, item{name: "a.js"}), ""},
		{"links inside", pack(t, good, item{name: "bin/run", data: "../index.js", mode: fs.ModeSymlink | 0o777}, item{name: "l", data: "bin/run", mode: fs.ModeSymlink | 0o777}), ""},
		{"not a zip", []byte("hello"), "zip.format"},
		{"nothing", nil, "zip.format"},
		{"an empty package", pack(t), "zip.empty"},
		{"a folder only", pack(t, item{name: "a/", mode: fs.ModeDir | 0o755}), "zip.empty"},
		{"a cut one", pack(t, good)[:60], "zip.format"},
		{"../", pack(t, item{name: "../evil.js"}), "zip.outside"},
		{"a hidden ../", pack(t, item{name: "a/b/../../../evil.js"}), "zip.outside"},
		{"an absolute path", pack(t, item{name: "/etc/passwd"}), "zip.absolute"},
		{"a drive", pack(t, item{name: "c:/x.js"}), "zip.absolute"},
		{"a backslash", pack(t, item{name: `..\evil.js`}), "zip.backslash"},
		{"a zero byte", pack(t, item{name: "a\x00b"}), "zip.name"},
		{"a line break", pack(t, item{name: "a\nb"}), "zip.name"},
		{"a name that is not UTF-8", pack(t, item{name: "a\xff"}), "zip.name"},
		{"a long name", pack(t, item{name: strings.Repeat("n", 256)}), "zip.pathLong"},
		{"a deep path", pack(t, item{name: strings.Repeat("d/", 101) + "f"}), "zip.pathLong"},
		{"a name twice", pack(t, good, good), "zip.duplicate"},
		{"a name twice in two ways", pack(t, good, item{name: "./index.js"}), "zip.duplicate"},
		{"a file and a folder of one name", pack(t, item{name: "a"}, item{name: "a/", mode: fs.ModeDir | 0o755}), "zip.duplicate"},
		{"a file below a file", pack(t, item{name: "a"}, item{name: "a/b"}), "zip.parent"},
		{"a file below a link", pack(t, item{name: "d/", mode: fs.ModeDir | 0o755}, item{name: "l", data: "d", mode: fs.ModeSymlink | 0o777}, item{name: "l/evil.js"}), "zip.parent"},
		{"a link out", pack(t, item{name: "l", data: "../x", mode: fs.ModeSymlink | 0o777}), "zip.link"},
		{"an absolute link", pack(t, item{name: "l", data: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), "zip.link"},
		{"a link that climbs out through another", pack(t, item{name: "a/b/up", data: "../..", mode: fs.ModeSymlink | 0o777}, item{name: "l", data: "a/b/up/..", mode: fs.ModeSymlink | 0o777}), "zip.link"},
		{"an endless link", pack(t, item{name: "l", data: strings.Repeat("a/", 600), mode: fs.ModeSymlink | 0o777}), "zip.link"},
		{"a device", pack(t, item{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}), "zip.type"},
		{"a pipe", pack(t, item{name: "pipe", mode: fs.ModeNamedPipe | 0o666}), "zip.type"},
		{"a socket", pack(t, item{name: "s", mode: fs.ModeSocket | 0o666}), "zip.type"},
		{"an encrypted file", patch(pack(t, good), func(h []byte) { h[8] |= 1 }), "zip.encrypted"},
		{"a strange method", patch(pack(t, good), func(h []byte) { binary.LittleEndian.PutUint16(h[10:], 12) }), "zip.method"},
		{"a wrong checksum", patch(pack(t, good), func(h []byte) { h[16] ^= 1 }), "zip.damaged"},
		{"a header with too small a size", patch(pack(t, good), func(h []byte) { binary.LittleEndian.PutUint32(h[24:], 3) }), "zip.damaged"},
		{"10 GB of zeros, told", zeros(t, 10<<10, 10<<30), "zip.unzipped"},
		{"300 MB of zeros that say they are 5 bytes", zeros(t, 300, 5), "zip.damaged"},
		{"200 MB of zeros that say so", zeros(t, 200, 200<<20), ""},
		{"300 MB of zeros, told", zeros(t, 300, 300<<20), "zip.unzipped"},
	} {
		err := Check(c.zip)
		if lambda.KeyOf(err) != c.key || err != nil && lambda.KindOf(err) != lambda.Invalid {
			t.Errorf("%s: %v, want %q", c.what, err, c.key)
		}
	}
}

func TestPackageOverTheLimitIsTooLarge(t *testing.T) {
	if err := Check(make([]byte, lambda.MaxZip+1)); lambda.KindOf(err) != lambda.TooLarge || lambda.KeyOf(err) != "zip.size" {
		t.Error(err)
	}
}

func TestMillionEntriesAreRefusedCheaply(t *testing.T) {
	const n = 600_000 // all that fit into 50 MB with short names, with a directory that lies about their number
	var b bytes.Buffer
	header := make([]byte, 46+8)
	copy(header, "PK\x01\x02")
	binary.LittleEndian.PutUint16(header[28:], 8)
	for i := range n {
		copy(header[46:], fmt.Sprintf("%08d", i))
		b.Write(header)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], uint16(n%65536))
	binary.LittleEndian.PutUint16(end[10:], uint16(n%65536))
	binary.LittleEndian.PutUint32(end[12:], uint32(b.Len()))
	b.Write(end)
	if err := Check(b.Bytes()); lambda.KeyOf(err) != "zip.entries" {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, item{name: "index.js", data: "1"}, item{name: "bin/x", data: "../index.js", mode: fs.ModeSymlink | 0o777}, item{name: "d/", mode: fs.ModeDir | 0o755}))
	f.Add(zeros(f, 1, 1<<20))
	f.Add(patch(pack(f, item{name: "a"}), func(h []byte) { h[8] |= 1 }))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 || Check(data) != nil {
			return
		}
		files, err := Files(data)
		if err != nil {
			t.Fatalf("a checked package cannot be shown: %v", err)
		}
		for _, file := range files {
			if _, err := cleanPath(file.Path); err != nil {
				t.Errorf("path %q: %v", file.Path, err)
			}
		}
		if _, err := Merge(data, []lambda.DraftFile{{Path: "zz-new.js", Data: []byte("1")}}); err != nil && lambda.KindOf(err) == lambda.Internal {
			t.Errorf("merge: %v", err)
		}
	})
}
