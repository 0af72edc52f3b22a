package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// start runs a server command until the test ends or stop is called, which returns its exit code.
func (s shell) start(args ...string) (out, errs *lockedBuffer, stop func() int) {
	c, _, _ := s.cli("")
	out, errs = new(lockedBuffer), new(lockedBuffer)
	c.out, c.err, c.env, c.self = out, errs, nil, "./bin/quire"
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan int, 1)
	go func() { done <- c.run(ctx, args) }()
	code := -1
	stop = func() int {
		cancel()
		if code < 0 {
			code = <-done
		}
		return code
	}
	s.t.Cleanup(func() { stop() })
	return out, errs, stop
}

var kafkaAddr = regexp.MustCompile(`"kafka_addr":"([^"]+)"`)

func startedAddr(t *testing.T, errs *lockedBuffer) string {
	t.Helper()
	waitFor(t, "the start-up line", func() bool { return kafkaAddr.MatchString(errs.String()) })
	return kafkaAddr.FindStringSubmatch(errs.String())[1]
}

func TestServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	args := []string{"serve", "--data-dir", dir, "--kafka-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--rpc-addr", "127.0.0.1:0"}
	_, errs, stop := shell{t: t}.start(args...)
	addr := startedAddr(t, errs)
	for _, want := range []string{
		`"version":"` + release + `"`, `"data_dir":"` + dir + `"`, `"http_addr":"127.0.0.1:`, "acknowledged records are on disk",
	} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the start-up line lacks %s: %s", want, errs)
		}
	}
	shell{t, addr}.ok("kept\n", words("produce t")...)

	shell{t: t}.fails(exitFailed, "", args, "error:", dir)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	http := httpAddr.FindStringSubmatch(errs.String())[1]
	other := []string{"serve", "--data-dir", dir + "2", "--http-addr", http, "--kafka-addr", addr}
	shell{t: t}.fails(exitFailed, "", other, "port "+port, "is taken",
		"hint: quire serve --data-dir "+dir+"2 --kafka-addr 127.0.0.1:", " --http-addr 127.0.0.1:")

	if code := stop(); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	_, errs, stop = shell{t: t}.start(args...)
	if got := (shell{t, startedAddr(t, errs)}).ok("", words("consume t -o :end")...); got != "kept\n" {
		t.Errorf("after a restart: %q", got)
	}
	if code := stop(); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
}

func TestDev(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	out, errs, stop := shell{t: t}.start("dev", "--kafka-addr", "127.0.0.1:0", "--http-addr", "")
	addr := startedAddr(t, errs)
	want := "./bin/quire topic create orders -p 6 -b " + addr + "\n" +
		"echo 'a coffee' | ./bin/quire produce orders -k user_123 -b " + addr + "\n" +
		"./bin/quire consume orders -b " + addr + "\n"
	waitFor(t, "the three lines", func() bool { return out.String() == want })
	dir := regexp.MustCompile(`(\S+) is removed on exit`).FindStringSubmatch(errs.String())
	if dir == nil {
		t.Fatalf("no directory in %s", errs)
	}
	if _, err := os.Stat(dir[1]); err != nil {
		t.Error(err)
	}
	if code := stop(); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestFirstCommands(t *testing.T) {
	c := &cli{self: "./bin/quire"}
	want := "./bin/quire topic create orders -p 6\n" +
		"echo 'a coffee' | ./bin/quire produce orders -k user_123\n" +
		"./bin/quire consume orders"
	if got := strings.Join(c.firstCommands(defaultBroker), "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	for addr, want := range map[string]string{
		"0.0.0.0:9092": defaultBroker, "[::]:9092": defaultBroker, "10.0.0.1:9092": "10.0.0.1:9092", "[::1]:9092": "[::1]:9092",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestFatalEndsTheProcess(t *testing.T) {
	var errs lockedBuffer
	code := -1
	c := &cli{err: &errs, exit: func(n int) { code = n }}
	c.fatal(io.ErrUnexpectedEOF)
	if code != exitFailed || !strings.HasPrefix(errs.String(), "error: the broker cannot go on: ") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

// ownLoopback is an address where nobody else takes a port that was let go for a moment, on systems that have all of 127.0.0.0/8.
func ownLoopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, max(pid&255, 2))
}

func TestConsumeSaysThatTheBrokerIsGone(t *testing.T) {
	dir := t.TempDir()
	_, errs, stop := shell{t: t}.start("serve", "--data-dir", dir, "--kafka-addr", ownLoopback()+":0", "--http-addr", "", "--rpc-addr", "127.0.0.1:0")
	addr := startedAddr(t, errs)
	shell{t, addr}.ok("first\n", words("produce t")...)
	out, said, stopConsume := shell{t: t}.start("consume", "t", "-b", addr)
	waitFor(t, "the first record", func() bool { return out.String() == "first\n" })
	if code := stop(); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	waitFor(t, "the loss is told", func() bool {
		return said.String() == "lost "+addr+": connection refused; trying again\n"
	})
	shell{t: t}.start("serve", "--data-dir", dir, "--kafka-addr", addr, "--http-addr", "", "--rpc-addr", "127.0.0.1:0")
	waitFor(t, "the return is told", func() bool { return strings.HasSuffix(said.String(), "connected to "+addr+" again\n") })
	shell{t, addr}.ok("second\n", words("produce t")...)
	waitFor(t, "the second record", func() bool { return out.String() == "first\nsecond\n" })
	if code := stopConsume(); code != exitInterrupted {
		t.Errorf("exit %d: %s", code, said)
	}
}
