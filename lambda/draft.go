package lambda

import "time"

// File is one file of a package.
type File struct {
	Path   string // slash-separated, relative, clean
	Data   []byte // nil when the file is Binary or TooLarge and was listed only
	Size   int64
	Mode   uint32 // Unix permission bits; 0 means 0644
	Binary bool   // not text: shown as such, never edited, always kept byte for byte
	Large  bool   // too large to edit: as Binary
}

// DraftState is one user's unsaved work on one function: the changes against the package of revision Base.
type DraftState struct {
	Function string
	User     string
	Base     int64       // revision that the draft started from
	Seq      int64       // grows with every save; the draft's own optimistic lock
	Files    []DraftFile // changed, added and deleted files only
	SavedAt  time.Time
}

// DraftFile is one changed file of a draft.
type DraftFile struct {
	Path    string
	Data    []byte
	Deleted bool
}

// TestEvent is a saved event, shared by everybody who may run the function.
type TestEvent struct {
	Function string
	Name     string // ≤ 64 characters
	Body     []byte // JSON
	By       string
	At       time.Time
}
