// Command build bundles static/src into static/dist with esbuild's Go API: hashed names, split chunks and a manifest.
// It runs in the module's root, needs static/node_modules (npm ci) and writes the same bytes for the same sources.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := build("static"); err != nil {
		fmt.Fprintln(os.Stderr, "static/build:", err)
		os.Exit(1)
	}
}
