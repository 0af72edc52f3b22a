package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets a test run this binary as quire itself, for what only a process has: signals.
func TestMain(m *testing.M) {
	if os.Getenv("QUIRE_TEST_AS_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestSignals(t *testing.T) {
	env := append(cleanEnv(), "QUIRE_TEST_AS_MAIN=1", "TMPDIR="+t.TempDir())
	dev := startProcess(t, t.TempDir(), env, os.Args[0], "dev", "--kafka-addr", "127.0.0.1:0", "--http-addr", "")
	dev.await(t, "started", kafkaAddr)
	addr := kafkaAddr.FindStringSubmatch(dev.errs.String())[1]
	env = append(env, "QUIRE_BROKERS="+addr)
	shell{t, addr}.ok("a\n", words("produce t")...)

	consume := startProcess(t, t.TempDir(), env, os.Args[0], "consume", "t")
	waitFor(t, "the record is printed", func() bool { return consume.out.String() == "a\n" })
	if err := consume.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := consume.exitCode(t); code != exitInterrupted || consume.errs.String() != "" {
		t.Errorf("consume: exit %d after Ctrl-C: %s", code, consume.errs.String())
	}

	dir := regexp.MustCompile(`(\S+) is removed on exit`).FindStringSubmatch(dev.errs.String())[1]
	for range 2 { // as when a process group gets it, make in it
		if err := dev.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if code := dev.exitCode(t); code != exitDone || !strings.Contains(dev.errs.String(), `"msg":"stopped"`) {
		t.Errorf("dev: exit %d after SIGTERM: %s", code, dev.errs.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
