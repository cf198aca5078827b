package executor

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// maxChain is how often one function may appear in a chain of calls: functions that call themselves in a circle are stopped.
const maxChain = 16

// maxTrace bounds what a caller may send as X-Amzn-Trace-Id; a longer one is replaced.
const maxTrace = 1024

// extendTrace is the trace header for a call of the function with this lineage id, and how often the function is in the chain with it.
// The chain travels as AWS's does, in the header's Lineage part (id:count|id:count); SDKs inside functions pass it on.
func extendTrace(trace, id string) (string, int) {
	if trace == "" || len(trace) > maxTrace {
		return newTrace(id), 1
	}
	at := strings.Index(trace, "Lineage=")
	if at < 0 {
		return strings.TrimSuffix(trace, ";") + ";Lineage=" + id + ":1", 1
	}
	head, chain := trace[:at], trace[at+len("Lineage="):]
	chain, rest, _ := strings.Cut(chain, ";")
	next, depth := extendChain(chain, id)
	out := head + "Lineage=" + next
	if rest != "" {
		out += ";" + rest
	}
	return out, depth
}

func extendChain(chain, id string) (string, int) {
	links := strings.Split(chain, "|")
	for i, link := range links {
		name, count, _ := strings.Cut(link, ":")
		if name != id {
			continue
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > maxChain {
			n = maxChain
		}
		links[i] = id + ":" + strconv.Itoa(n+1)
		return strings.Join(links, "|"), n + 1
	}
	if chain == "" {
		return id + ":1", 1
	}
	return chain + "|" + id + ":1", 1
}

// newTrace is a header in AWS's form: Root=1-<seconds>-<96 bits>;Parent=<64 bits>;Sampled=0;Lineage=<id>:1.
func newTrace(id string) string {
	b := make([]byte, 0, 112)
	b = append(b, "Root=1-"...)
	b = appendHex(b, uint64(time.Now().Unix())<<32, 4)
	b = append(b, '-')
	b = appendHex(b, rand.Uint64(), 8)
	b = appendHex(b, rand.Uint64(), 4)
	b = append(b, ";Parent="...)
	b = appendHex(b, rand.Uint64(), 8)
	b = append(b, ";Sampled=0;Lineage="...)
	b = append(b, id...)
	b = append(b, ":1"...)
	return string(b)
}

// appendHex adds the first n bytes of v.
func appendHex(b []byte, v uint64, n int) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], v)
	return hex.AppendEncode(b, raw[:n])
}
