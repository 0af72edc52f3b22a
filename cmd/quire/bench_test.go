package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quirelog/quire/bench"
)

func TestBench(t *testing.T) {
	s := shell{t, startBroker(t)}
	r := decode[bench.Report](t, s.ok("", words("bench produce -d 200ms --warmup 0 -s 1KiB --rate 2000 -p 3 --json")...))
	if r.Kind != bench.Produce || r.Produced.Latency.Count != 400 || r.Check.Checked != 400 || r.Setup.RecordBytes != 1024 || r.Setup.Partitions != 3 {
		t.Errorf("produce: %+v", r)
	}
	if r.Server == nil || r.Setup.Server.PID != os.Getpid() {
		t.Errorf("the process that listens is %+v, want %d", r.Setup.Server, os.Getpid())
	}
	out := s.ok("", words("bench e2e -d 200ms --warmup 0 --keys 10")...)
	for _, want := range []string{"machine ", "durability   durability=fsync", "10,000 records/s", "acknowledged after", "read after", "p99.9", "none lost"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	s.ok("", words("bench produce -d 100ms --warmup 0 --rate 1000 -t load --keep -p 1 --no-check")...)
	if r := decode[bench.Report](t, s.ok("", words("bench consume -t load -o json")...)); r.Check.Checked != 100 || r.Read == nil {
		t.Errorf("consume: %+v", r)
	}
	if got := s.ok("", words("topic list")...); strings.Contains(got, "quire-bench") {
		t.Errorf("topics are left: %s", got)
	}
	// A repeated record: the report comes all the same, and the exit code tells.
	value := s.ok("", words("consume load -o -1:end -f %v{hex}")...)
	s.ok(value+"\n", words(`produce load -f %v{hex}\n`)...)
	failed := s.run("", words("bench consume -t load -o json")...)
	if failed.code != exitFailed || !strings.Contains(failed.err, "error: records were lost") || decode[bench.Report](t, failed.out).Check.Repeated != 1 {
		t.Errorf("exit %d: %s\n%s", failed.code, failed.err, failed.out)
	}
}

func TestBenchUsage(t *testing.T) {
	s := shell{t, "127.0.0.1:1"}
	s.fails(exitUsage, "", words("bench produce -s 3"), "records of 3 bytes: want 40")
	s.fails(exitUsage, "", words("bench produce -s many"), "--size many:")
	s.fails(exitUsage, "", words("bench produce -z rar --acks 2"), `compression "rar"`, `acks "2"`)
	s.fails(exitUsage, "", words("bench consume --rate 5"), "--rate")
	s.fails(exitUsage, "", words("bench produce -o xml"), "output format")
	s.fails(exitUnreachable, "", words("bench e2e"), "no broker at 127.0.0.1:1")
}

func TestBenchHelp(t *testing.T) {
	s := shell{t, "127.0.0.1:1"}
	flags := func(help string) (names []string) {
		for line := range strings.Lines(help) {
			if _, rest, ok := strings.Cut(line, "--"); ok && strings.HasPrefix(strings.TrimSpace(line), "-") {
				name, _, _ := strings.Cut(rest, " ")
				names = append(names, name)
			}
		}
		return names
	}
	common := words("topic keep partitions replicas config size keys text compression acks producers batch linger window duration stall server-pid json")
	inherited := words("brokers output")
	for command, own := range map[string][]string{
		"produce": words("rate warmup no-check"), "consume": words("consumers"), "e2e": words("rate warmup consumers"),
	} {
		got := flags(s.ok("", "bench", command, "--help"))
		got = slices.DeleteFunc(got, func(name string) bool { return name == "help" })
		if want := slices.Concat(common, own, inherited); !slices.Equal(got, want) {
			t.Errorf("%s has the flags\n%v, want\n%v", command, got, want)
		}
	}
}
