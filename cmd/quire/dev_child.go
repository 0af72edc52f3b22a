package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is one broker of `quire dev --brokers`: this binary as a process of its own.
type child struct {
	id    int32
	kafka string // address
	log   string // file
	args  []string
	env   []string

	cmd   *exec.Cmd     // nil: never started
	ended chan struct{} // closed when the process of cmd has ended
}

// start starts the broker, also again.
func (b *child) start() error {
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(b.args[0], b.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.env, log, log
	cmd.SysProcAttr = childAttributes() // Ctrl-C at the terminal is for the parent
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start broker %d: %w", b.id, err)
	}
	ended := make(chan struct{})
	b.cmd, b.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(ended)
	}()
	return nil
}

func (b *child) pid() int { return b.cmd.Process.Pid }

func (b *child) hasEnded() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// state is how the process ended; it must have.
func (b *child) state() string { return b.cmd.ProcessState.String() }

// kill ends the process as abruptly as can be, and returns when it has ended.
func (b *child) kill() {
	_ = b.cmd.Process.Kill() // fails when it has ended
	<-b.ended
}

// tell asks the process to end.
func (b *child) tell() {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	}
}

// await waits for the process to end, until deadline fires: then it is killed.
func (b *child) await(deadline <-chan time.Time) {
	if b.cmd == nil {
		return
	}
	select {
	case <-b.ended:
	case <-deadline:
		b.kill()
	}
}

// lastWords are the end of the broker's log.
func (b *child) lastWords() string {
	text, err := os.ReadFile(b.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; ")))
}
