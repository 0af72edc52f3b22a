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

// With nothing said, the second broker's rpc-addr would be the first one's http-addr.
func TestDevClusterAddresses(t *testing.T) {
	d := devCluster{c: &cli{self: "quire"}, dir: t.TempDir()}
	if err := d.plan(map[string]string{}, maxDevBrokers); err != nil {
		t.Fatal(err)
	}
	whose := map[string]int32{}
	for _, b := range d.brokers {
		for i, arg := range b.args {
			if arg != "--kafka-addr" && arg != "--http-addr" && arg != "--rpc-addr" {
				continue
			}
			addr := b.args[i+1]
			if other := whose[addr]; other != 0 {
				t.Errorf("broker %d gets %s %s, which is broker %d's", b.id, arg, addr, other)
			}
			whose[addr] = b.id
		}
	}
	if len(whose) != 3*maxDevBrokers {
		t.Errorf("%d addresses for %d brokers: %v", len(whose), maxDevBrokers, whose)
	}
}
