//go:build linux

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"kiln/executor/runner"
)

// helperMain plays other processes of a real installation: the root parent and the server.
func helperMain(name string, args []string) int {
	switch name {
	case "helper-parent":
		who := &account{name: "plain", uid: plainUID, gid: plainUID}
		code, err := superviseAs(Supervision{Args: append([]string{"helper-server"}, args...), Data: args[0]}, who)
		if err != nil {
			fmt.Println("error", err)
		}
		return code
	case "helper-server":
		if err := helperServer(args); err != nil {
			fmt.Println("error", err)
			return 1
		}
		return 0
	}
	return 2
}

// helperServer starts a box for every line of its input and says what became of it. With "stubborn" it ignores SIGTERM.
func helperServer(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if len(args) > 1 && args[1] == "stubborn" {
		ctx = context.Background()
		signal.Ignore(syscall.SIGTERM)
	}
	d, err := New(context.Background(), Options{Data: args[0], Link: Inherited()})
	if err != nil {
		return err
	}
	fmt.Println("up", os.Getpid(), os.Getuid(), d.Capabilities().Rung)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			if err := helperBox(d, line); err != nil {
				fmt.Println("error", err)
			}
		}
	}
	fmt.Println("stopping")
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = d.Close(closing)
	fmt.Println("stopped")
	return err
}

func helperBox(d *Driver, what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	box, err := d.Start(ctx, runner.Spec{ID: "helper", Runtime: "python3.11", MemoryMB: 128, EphemeralMB: 512})
	if err != nil {
		return err
	}
	e := &eval{Sandbox: box, t: &testing.T{}, in: bufio.NewReader(box.Channel()), out: collect(box.Stdout()), err: collect(box.Stderr())}
	fmt.Println("box", e.run("import os\nreturn os.readlink('/proc/self/ns/pid')"))
	if what != "frozen" {
		return nil
	}
	f, ok := box.(runner.Freezer)
	if !ok {
		return errors.New("no freezer")
	}
	return f.Freeze()
}
