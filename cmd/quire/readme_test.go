package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is one fenced block of the README. The first word of info is what it holds: sh is run, text is what the block before it
// prints. A second word is "server", for commands that run until the next server block, or the program that the block needs.
type block struct {
	lang, needs string
	text        string
	line        int
}

func readmeBlocks(t *testing.T) []block {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	inside := false
	for i, line := range strings.Split(string(raw), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && inside:
			inside = false
		case fence:
			inside = true
			lang, needs, _ := strings.Cut(info, " ")
			blocks = append(blocks, block{lang: lang, needs: needs, line: i + 1})
		case inside:
			blocks[len(blocks)-1].text += line + "\n"
		}
	}
	return blocks
}

// tour runs the blocks as a reader of the README would, but with the broker on free ports: its own addresses take the place of the
// default ones.
type tour struct {
	t      *testing.T
	root   string // of the repository: make runs here
	dir    string // where the other commands run; bin in it is the repository's
	env    []string
	server *process
	addrs  *strings.Replacer
}

func TestReadme(t *testing.T) {
	for _, tool := range []string{"make", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "bin"), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	tr := &tour{t: t, root: root, dir: dir, addrs: strings.NewReplacer(), env: append(cleanEnv(),
		"TMPDIR="+t.TempDir(), "QUIRE_KAFKA_ADDR=127.0.0.1:0", "QUIRE_HTTP_ADDR=127.0.0.1:0")}
	var printed string
	ran := 0
	for _, b := range readmeBlocks(t) {
		switch {
		case b.lang == "sh" && b.needs == "server":
			tr.start(b)
		case b.lang == "sh":
			printed = tr.run(b)
			ran++
		case b.lang == "text" && printed != skipped && printed != b.text:
			t.Errorf("README.md:%d says\n%sbut it is\n%s", b.line, b.text, printed)
		}
	}
	if ran < 6 {
		t.Errorf("only %d blocks were found", ran)
	}
	tr.server.stop(t)
}

// cleanEnv is this process's environment without what would reach into the commands from outside.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "QUIRE_") && !strings.HasPrefix(e, "MAKE") && !strings.HasPrefix(e, "MFLAGS") {
			env = append(env, e)
		}
	}
	return env
}

const skipped = "(skipped)"

func (tr *tour) run(b block) string {
	tr.t.Helper()
	if b.needs != "" {
		if _, err := exec.LookPath(b.needs); err != nil {
			tr.t.Logf("README.md:%d is skipped: no %s here", b.line, b.needs)
			return skipped
		}
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", tr.addrs.Replace(b.text))
	cmd.Dir, cmd.Env = tr.dir, tr.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		tr.t.Fatalf("README.md:%d: %v\n%s%s%s", b.line, err, b.text, &out, &errs)
	}
	return out.String()
}

var httpAddr = regexp.MustCompile(`"http_addr":"([^"]+)"`)

// start stops the server before, and waits for the start-up line of the new one.
func (tr *tour) start(b block) {
	tr.t.Helper()
	if tr.server != nil {
		tr.server.stop(tr.t)
	}
	dir := tr.dir
	if strings.HasPrefix(b.text, "make") {
		dir = tr.root
	}
	tr.server = startProcess(tr.t, dir, tr.env, "sh", "-euc", "exec "+b.text)
	tr.server.await(tr.t, "started", kafkaAddr)
	kafka := kafkaAddr.FindStringSubmatch(tr.server.errs.String())[1]
	http := httpAddr.FindStringSubmatch(tr.server.errs.String())[1]
	tr.addrs = strings.NewReplacer(defaultBroker, kafka, "127.0.0.1:9644", http)
	tr.env = append(tr.env, "QUIRE_BROKERS="+kafka)
}

// process is a program that runs beside the test, in a process group of its own.
type process struct {
	cmd       *exec.Cmd
	out, errs lockedBuffer
	done      chan error
}

func startProcess(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...), done: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, &p.out, &p.errs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }) // it has ended if all went well
	return p
}

// await waits until stderr matches what; building the binary may come first.
func (p *process) await(t *testing.T, what string, re *regexp.Regexp) {
	t.Helper()
	timeout := time.After(4 * time.Minute)
	for tick := time.NewTicker(5 * time.Millisecond); !re.MatchString(p.errs.String()); {
		select {
		case <-tick.C:
		case err := <-p.done:
			t.Fatalf("%s: ended before it %s: %v\n%s", p.cmd, what, err, p.errs.String())
		case <-timeout:
			t.Fatalf("%s: never %s:\n%s", p.cmd, what, p.errs.String())
		}
	}
}

// stop does what Ctrl-C at a terminal does, to the whole group, and waits for the end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	p.exitCode(t)
	waitFor(t, "the broker has stopped", func() bool { return strings.Contains(p.errs.String(), `"msg":"stopped"`) })
}

func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case err := <-p.done:
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			return ee.ExitCode()
		}
		return 0
	case <-time.After(deadline):
		t.Fatalf("%s: has not ended:\n%s", p.cmd, p.errs.String())
		return -1
	}
}
