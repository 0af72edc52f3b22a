// Command quire is a partitioned, replicated, append-only log that speaks Kafka's protocol: server and tools in one binary.
package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

func main() { os.Exit(newCLI().run(context.Background(), os.Args[1:])) }

// cli is what a command may touch of the process around it, so that a test can stand in for it. Answers go to out, everything
// else to err.
type cli struct {
	in       io.Reader
	out, err io.Writer
	env      []string // as os.Environ
	self     string   // the binary as the user typed it
	exit     func(code int)

	inTTY, errTTY bool
	width         int // columns that a table may take; 0: no limit (stdout is not a terminal)

	brokers []string // of the flag; see seeds
	format  string   // of -o/--output: table, json, jsonl or yaml
}

func newCLI() *cli {
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), self: os.Args[0], exit: os.Exit}
	c.inTTY = term.IsTerminal(int(os.Stdin.Fd()))
	c.errTTY = term.IsTerminal(int(os.Stderr.Fd()))
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		c.width = w
	}
	return c
}

// run is the whole program: it parses args, runs the command and says what went wrong. It returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	if err := root.ExecuteContext(ctx); err != nil {
		return c.report(err)
	}
	return exitDone
}

// getenv is os.Getenv over c.env.
func (c *cli) getenv(name string) string {
	for _, e := range c.env {
		if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return e[len(name)+1:]
		}
	}
	return ""
}
