// Command kiln runs Lambda functions on your own machine. `kiln help` lists its commands; HOUSE.md's plan is in README's code map.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"kiln/code"
	"kiln/executor/process"
)

// version is set by the release build (-ldflags "-X main.version=…").
var version = "dev"

// command is one sub-command; hidden ones are started by Kiln itself.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "start Kiln and print a sign-in link", serve},
		{"login-link", "print a new one-time sign-in link of the running server", loginLink},
		{"healthcheck", "ask the running server how it is; exit status 1 when it is not well", healthcheck},
		{"migrate", "bring the database to this version's schema and end", migrate},
		{"runtimes", "runtimes list | runtimes install NAME", runtimesCommand},
		{"admin", "admin backup FILE | admin restore FILE | admin accept-rung B|C", adminCommand},
		{"version", "print the version", printVersion},
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "spawner" { // started by Kiln itself, with a socket as its input
		os.Exit(process.SpawnerMain(os.Args[2:]))
	}
	if len(os.Args) == 2 && os.Args[1] == "typescript" { // started by code.Compiler
		if err := code.ServeCompiler(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	err := dispatch(ctx, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	default:
		fmt.Fprintln(os.Stderr, "kiln: "+strings.ReplaceAll(err.Error(), "\n", "\nkiln: "))
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(os.Stdout)
		return nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:])
		}
	}
	usage(os.Stderr)
	return fmt.Errorf("%q is not a command", args[0])
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Kiln runs Lambda functions on your own machine.")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  kiln %-12s %s\n", c.name, c.help)
	}
	fmt.Fprintln(w, "\nSettings are flags or variables: kiln serve -h lists them.")
}

func printVersion(context.Context, []string) error {
	fmt.Println("kiln", version)
	return nil
}

// newLogger writes the server's log to standard error.
func newLogger(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // readConfig has refused anything else
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}
