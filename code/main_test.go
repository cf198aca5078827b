package code

import (
	"fmt"
	"os"
	"testing"
)

// TestMain lets the test binary be the compiler's process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "typescript" {
		if err := ServeCompiler(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
