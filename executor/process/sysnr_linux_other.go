//go:build linux && !amd64 && !arm64

package process

// No table: the spawner says that it has no filter for this architecture, and nothing runs.
var syscallNumbers map[string]uint32

const (
	auditArch = 0
	hasX32    = false
)
