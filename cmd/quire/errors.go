package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // also when one item of many failed
	exitUsage       = 2
	exitUnreachable = 3 // or timed out
	exitNotAllowed  = 4
	exitUnhealthy   = 10
	exitInterrupted = 130
)

// failure is an error together with what the user can do about it.
type failure struct {
	err  error
	hint string // the command to run next, quire for this binary, after words and a colon at most; "": none
	code int    // 0: follows from err
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(hint, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), hint: hint, code: exitUsage}
}

func withHint(err error, hint string, args ...any) error {
	return &failure{err: err, hint: fmt.Sprintf(hint, args...)}
}

// errInterrupted ends a command that Ctrl-C stopped. Nothing is printed: the user knows.
var errInterrupted = &failure{err: errors.New("interrupted"), code: exitInterrupted}

// errInterruptedTold is errInterrupted of a command that has ended its line at the terminal.
var errInterruptedTold = &failure{err: errors.New("interrupted"), code: exitInterrupted}

// errUnhealthy ends `cluster health` after it has printed what is wrong.
var errUnhealthy = &failure{err: errors.New("unhealthy"), code: exitUnhealthy}

// report prints err as one error: line and one hint: line, and returns the exit code.
func (c *cli) report(err error) int {
	code, hint := exitCode(err), ""
	if code == exitInterrupted || errors.Is(err, errUnhealthy) {
		if code == exitInterrupted && c.errTTY && !errors.Is(err, errInterruptedTold) {
			fmt.Fprintln(c.err) // the prompt must not follow the ^C
		}
		return code
	}
	if f, ok := errors.AsType[*failure](err); ok {
		hint = f.hint
	}
	fmt.Fprintf(c.err, "%s %s\n", c.paint("31;1", "error:"), oneLine(err.Error()))
	if text, args, ours := strings.Cut(hint, "quire "); ours && (text == "" || strings.HasSuffix(text, ": ")) {
		hint = text + shellQuote(c.self) + " " + args
	}
	if hint != "" {
		fmt.Fprintf(c.err, "%s %s\n", c.paint("36;1", "hint:"), hint)
	}
	return code
}

// paint colours s on a terminal, unless NO_COLOR is set (no-color.org).
func (c *cli) paint(sgr, s string) string {
	if !c.errTTY || c.getenv("NO_COLOR") != "" || c.getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// oneLine joins the lines of joined errors.
func oneLine(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "; ")
}

func exitCode(err error) int {
	if f, ok := errors.AsType[*failure](err); ok && f.code != 0 {
		return f.code
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case unreachable(err):
		return exitUnreachable
	case notAllowed(err):
		return exitNotAllowed
	}
	return exitFailed
}

func unreachable(err error) bool {
	if ne, ok := errors.AsType[net.Error](err); ok && (ne.Timeout() || isDial(err)) {
		return true
	}
	_, firstRead := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return firstRead || isDial(err) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, kerr.RequestTimedOut) || errors.Is(err, kgo.ErrRecordTimeout)
}

func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func notAllowed(err error) bool {
	for _, e := range []error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.DelegationTokenAuthorizationFailed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// brokerError is an error code in a broker's answer together with the message beside it, which says more.
func brokerError(err error, message string) error {
	if err == nil {
		return nil
	}
	ke, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return err
	}
	if message == "" || message == ke.Message {
		message = ke.Description
	}
	return &codedError{code: ke, text: strings.TrimSuffix(message, ".")}
}

// codedError reads as a sentence and still is the code.
type codedError struct {
	code *kerr.Error
	text string
}

func (e *codedError) Error() string { return fmt.Sprintf("%s (%s)", e.text, e.code.Message) }
func (e *codedError) Unwrap() error { return e.code }
