//go:build linux

package process

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

func packet(header string, tail string) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(header))), header...), tail...)
}

func TestRequestsSurviveTheWire(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	for _, q := range []*request{
		{Op: opStart, Seq: 1, Box: 2, Runtime: "nodejs22.x", MemoryMB: 128, EphemeralMB: 512},
		{Op: opStart, Seq: 1, Box: 2, Runtime: "provided.al2023", MemoryMB: 128, EphemeralMB: 512, Code: digest, Layers: []string{digest}, Wrapper: "/opt/wrap", env: []string{"A=", "B=x=\xff\n\x01"}},
		{Op: opHandOver, Seq: 3, Box: 2, MemoryMB: 128, EphemeralMB: 512, Code: digest},
		{Op: opKill, Seq: 4, Box: 2},
		{Op: opReap, Seq: 5},
		{Op: opRuntimes, Seq: 6},
	} {
		b, err := encodeRequest(q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(b)
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
	}
}

// A hostile server's packets: each breaks one rule.
var badPackets = map[string][]byte{
	"empty":                      {},
	"short":                      {0, 0},
	"header longer than packet":  append([]byte{0, 0, 1, 0}, "{}"...),
	"header too long":            packet(`{"op":"kill","box":1,"seq":`+strings.Repeat("1", maxHeader)+"}", ""),
	"huge header length":         {0xff, 0xff, 0xff, 0xff, '{', '}'},
	"not JSON":                   packet(`op=kill`, ""),
	"two objects":                packet(`{"op":"kill","box":1}{"op":"kill","box":2}`, ""),
	"unknown field":              packet(`{"op":"kill","box":1,"path":"/etc"}`, ""),
	"argv":                       packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"argv":["/bin/sh"]}`, ""),
	"unknown operation":          packet(`{"op":"exec"}`, ""),
	"no operation":               packet(`{}`, ""),
	"kill without a box":         packet(`{"op":"kill"}`, ""),
	"runtime as a path":          packet(`{"op":"start","box":1,"runtime":"../../bin/sh","memory":128,"tmp":512}`, ""),
	"runtime with a zero byte":   packet(`{"op":"start","box":1,"runtime":"node\u0000","memory":128,"tmp":512}`, ""),
	"no memory":                  packet(`{"op":"start","box":1,"runtime":"nodejs20.x","tmp":512}`, ""),
	"negative memory":            packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":-1,"tmp":512}`, ""),
	"all memory":                 packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":99999999,"tmp":512}`, ""),
	"all disk":                   packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":99999999}`, ""),
	"memory that overflows":      packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":18446744073709551616,"tmp":512}`, ""),
	"code as a path":             packet(`{"op":"hand-over","box":1,"memory":128,"tmp":512,"code":"../../../etc"}`, ""),
	"code in upper case":         packet(`{"op":"hand-over","box":1,"memory":128,"tmp":512,"code":"`+strings.Repeat("A", 64)+`"}`, ""),
	"six layers":                 packet(`{"op":"hand-over","box":1,"memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`","layers":["`+strings.Repeat(strings.Repeat("a", 64)+`","`, 5)+strings.Repeat("a", 64)+`"]}`, ""),
	"layer as a path":            packet(`{"op":"hand-over","box":1,"memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`","layers":["/etc"]}`, ""),
	"wrapper outside":            packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`","wrapper":"/bin/sh"}`, ""),
	"wrapper that climbs":        packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`","wrapper":"/opt/../bin/sh"}`, ""),
	"wrapper without code":       packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"wrapper":"/opt/x"}`, ""),
	"environment without code":   packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512}`, "A=1\x00"),
	"environment without end":    packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`"}`, "A=1"),
	"environment without a name": packet(`{"op":"start","box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`"}`, "=1\x00"),
	"environment with a kill":    packet(`{"op":"kill","box":1}`, "A=1\x00"),
	"code with a kill":           packet(`{"op":"kill","box":1,"code":"`+strings.Repeat("a", 64)+`"}`, ""),
}

func TestBadPacketsAreRefused(t *testing.T) {
	for name, b := range badPackets {
		if q, err := decodeRequest(b); err == nil {
			t.Errorf("%s: accepted as %+v", name, q)
		}
	}
}

func TestARefusalKeepsItsNumber(t *testing.T) {
	b := packet(`{"op":"start","seq":7,"box":1,"runtime":"nodejs20.x","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`"}`, strings.Repeat("A", maxEnv)+"=1\x00")
	if q, err := decodeRequest(b); err == nil || q == nil || q.Seq != 7 {
		t.Errorf("%+v %v", q, err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, b := range badPackets {
		f.Add(b)
	}
	f.Add(packet(`{"op":"start","seq":1,"box":1,"runtime":"provided.al2023","memory":128,"tmp":512,"code":"`+strings.Repeat("a", 64)+`","wrapper":"/opt/w"}`, "A=1\x00B=\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeRequest(b)
		if err != nil {
			return
		}
		if q.Code != "" && (len(q.Code) != 64 || strings.ContainsAny(q.Code, "/.")) || len(q.Layers) > maxLayers {
			t.Errorf("accepted code %q, layers %q", q.Code, q.Layers)
		}
		if strings.ContainsAny(q.Runtime, "/\x00 ") || strings.Contains(q.Wrapper, "/../") || strings.HasPrefix(q.Wrapper, "/bin") {
			t.Errorf("accepted runtime %q, wrapper %q", q.Runtime, q.Wrapper)
		}
		if (q.Op == opStart || q.Op == opHandOver) && (q.MemoryMB < minMemoryMB || q.MemoryMB > maxMemoryMB || q.EphemeralMB > maxTmpMB) {
			t.Errorf("accepted %+v", q)
		}
		for _, kv := range q.env {
			if strings.IndexByte(kv, '=') < 1 || strings.Contains(kv, "\x00") {
				t.Errorf("accepted environment %q", kv)
			}
		}
	})
}
