// Package runtimes knows the runtimes: the bootstraps that Kiln ships (Node.js, Python), which runtimes this machine has,
// and how to install more of them.
package runtimes

// Family is what kind of program a runtime is.
type Family string

// The families.
const (
	Node     Family = "node"
	Python   Family = "python"
	Provided Family = "provided" // the package brings its own program, /var/task/bootstrap
)

// Runtime is one runtime that this machine can run.
type Runtime struct {
	Name    string // AWS's name: "nodejs22.x", "python3.11", "provided.al2023"
	Family  Family
	Version string // "22.20.0"; "" for provided
	Binary  string // absolute path of the real binary; "" for provided
	Prefix  string // folder to bind read-only, holds Binary and its library; "" when it is under /usr
}

// Argv is the command inside the sandbox. Kiln's bootstraps are bound at /var/runtime.
func (r Runtime) Argv() []string {
	switch r.Family {
	case Node:
		return []string{r.Binary, "/var/runtime/node/bootstrap.js"}
	case Python:
		return []string{r.Binary, "-u", "-B", "-s", "/var/runtime/python/bootstrap.py"}
	default:
		return []string{"/var/task/bootstrap"}
	}
}
