package lambda

// Capacity is what a runner has and uses now.
type Capacity struct {
	Workers     int // handed over or running
	Running     int // of them with an invocation
	Queued      int // waiting for a worker
	PreBooted   int
	MemoryMB    int64  // measured use of all workers
	MemoryMaxMB int64  // budget
	Rung        string // "A" … "D"
	Reason      string // why functions do not run, message key; "" when they do
}
