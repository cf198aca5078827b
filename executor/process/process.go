// Package process is the Driver that needs nothing but Linux: namespaces, cgroups, seccomp and one uid per sandbox (rung A),
// or user namespaces (rung B). On every other system it is an honest rung D that runs nothing.
//
// Three kinds of process share the work. The *server* holds a Driver. The *spawner* (`kiln spawner`) has the rights: it makes,
// specialises and kills sandboxes and passes their channel, log pipes, listeners and meters to the server as open descriptors
// over one socket; it treats the server as hostile. As root a small *parent* (Supervise) starts both, the server as an unprivileged user;
// as a plain user the server starts the spawner itself. A box's first program is `kiln spawner box`: it builds the root file
// system from mounts that the spawner opened, gives up every right and becomes the runtime.
package process

import (
	"log/slog"
	"path/filepath"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
)

// Options says how New finds its spawner and what it accepts.
type Options struct {
	// Data is Kiln's data folder, Code the folder with one sub-folder per unpacked package, named by its SHA-256; "" is Data/code.
	Data, Code string
	// MinRung is the lowest rung on which sandboxes are started; "" accepts C and better.
	MinRung runner.Rung
	// Link is the parent's descriptor, from Inherited; nil makes the driver start its own spawner (rung B).
	Link *ParentLink
	Log  *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Code == "" {
		o.Code = filepath.Join(o.Data, "code")
	}
	if o.MinRung == "" {
		o.MinRung = runner.RungC
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Config is what a spawner knows from its start and never learns from the server.
type Config struct {
	Data, Code, State string // folders: Kiln's data, unpacked packages, the spawner's own notes
	Rung              runner.Rung
	// Discover lists the host's own runtimes; those that Kiln installed below Data are found by their folders' names alone,
	// because the server writes there and nothing of it may be run as root.
	Discover func() []runtimes.Runtime
	// Bootstraps writes Kiln's bootstraps below dir, once per spawner.
	Bootstraps func(dir string) error
}
