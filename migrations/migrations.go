// Package migrations holds the schema's steps, NNNN_what.sql, forward only: a released file never changes, a new one is added.
// schema.sql is a dump of the catalogue after all of them, kept to be read and compared, never run.
package migrations

import "embed"

// Files are the steps and the dump.
//
//go:embed *.sql
var Files embed.FS
