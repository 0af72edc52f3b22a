package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestDevCluster(t *testing.T) {
	env := append(cleanEnv(), "QUIRE_TEST_AS_MAIN=1", "TMPDIR="+t.TempDir())
	dev := startProcess(t, t.TempDir(), env, os.Args[0], "dev", "--brokers", "3", "--kafka-addr", freeFrom("127.0.0.1:19092", nil), "--http-addr", "")
	dev.await(t, "started", regexp.MustCompile("In a second terminal"))
	waitFor(t, "the commands are printed", func() bool { return strings.Count(dev.out.String(), "\n") == 5 })
	brokers := regexp.MustCompile(`Kafka (\S+), process (\d+)`).FindAllStringSubmatch(dev.errs.String(), -1)
	if len(brokers) != 3 {
		t.Fatalf("said %s", dev.errs.String())
	}
	s := shell{t, brokers[0][1]}
	s.ok("", words("topic create orders")...)
	s.ok("a\n", words("produce orders -p 0")...)
	if v := decode[[]topicView](t, s.ok("", words("topic describe orders -o json")...))[0]; v.Replicas != 3 {
		t.Errorf("a topic has %d replicas", v.Replicas)
	}
	dir := regexp.MustCompile(`in (\S+), which is removed on exit`).FindStringSubmatch(dev.errs.String())[1]
	if err := dev.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := dev.exitCode(t); code != exitDone {
		t.Errorf("exit %d: %s", code, dev.errs.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
