package store

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"kiln/lambda"
)

// changes says for the audit what differs between two configurations: values where they are public, names where they may be secret.
func changes(a, b lambda.Config, codeA, codeB string) map[string]string {
	detail := map[string]string{}
	add := func(field, from, to string) {
		if from != to {
			detail[field] = from + " → " + to
		}
	}
	add("runtime", a.Runtime, b.Runtime)
	add("handler", a.Handler, b.Handler)
	add("role", a.Role, b.Role)
	add("description", clean(a.Description), clean(b.Description))
	add("memory", strconv.Itoa(a.MemoryMB), strconv.Itoa(b.MemoryMB))
	add("timeout", strconv.Itoa(a.TimeoutSec), strconv.Itoa(b.TimeoutSec))
	add("ephemeralStorage", strconv.Itoa(a.EphemeralMB), strconv.Itoa(b.EphemeralMB))
	add("layers", strings.Join(a.Layers, ", "), strings.Join(b.Layers, ", "))
	add("deadLetter", a.DeadLetter, b.DeadLetter)
	add("logging", strings.Join([]string{a.LogFormat, a.AppLogLevel, a.SysLogLevel}, " "), strings.Join([]string{b.LogFormat, b.AppLogLevel, b.SysLogLevel}, " "))
	add("tracing", a.TracingMode, b.TracingMode)
	add("architectures", strings.Join(a.Architectures, ", "), strings.Join(b.Architectures, ", "))
	add("code", codeA, codeB)
	if env := environmentChanges(a.Env, b.Env); env != "" {
		detail["environment"] = env
	}
	return detail
}

// environmentChanges names variables and never shows a value.
func environmentChanges(a, b lambda.Environment) string {
	var added, changed, removed []string
	for _, name := range b.Names() {
		if old, there := a[name]; !there {
			added = append(added, name)
		} else if old != b[name] {
			changed = append(changed, name)
		}
	}
	for _, name := range a.Names() {
		if _, there := b[name]; !there {
			removed = append(removed, name)
		}
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", added}, {"changed", changed}, {"removed", removed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
