package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const deadline = 2 * time.Minute

func startBroker(t *testing.T) []kgo.Opt {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir, cfg.KafkaAddr, cfg.HTTPAddr, cfg.RPCAddr = t.TempDir(), "127.0.0.1:0", "", "127.0.0.1:0"
	b, err := broker.Start(t.Context(), cfg, broker.Options{OnFatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	return []kgo.Opt{kgo.SeedBrokers(b.Addr())}
}

func TestRuns(t *testing.T) {
	client := startBroker(t)
	for name, l := range map[string]Load{
		"produce":           {Kind: Produce},
		"produce, paced":    {Kind: Produce, Rate: 5000, Producers: 3, Consumers: 2, Compression: "zstd", Text: true, RecordBytes: 1000},
		"produce, acks=1":   {Kind: Produce, Acks: "1", Keys: 100, Rate: 5000},
		"produce, acks=0":   {Kind: Produce, Acks: "0", Rate: 5000},
		"produce, no check": {Kind: Produce, NoCheck: true, Rate: 100},
		"consume":           {Kind: Consume, Consumers: 3, Partitions: 4},
		"e2e":               {Kind: EndToEnd, Rate: 2000, Keys: 50, Producers: 2, Consumers: 9},
		"e2e, unpaced":      {Kind: EndToEnd, Partitions: 1, RecordBytes: MinRecordBytes},
	} {
		t.Run(name, func(t *testing.T) {
			l.Client, l.Duration, l.WarmUp, l.Window = client, 300*time.Millisecond, 50*time.Millisecond, 2000
			l.ServerPID = os.Getpid()
			var setup Setup
			measure(t, l, func(s Setup) { setup = s })
			if setup.Durability != "durability=fsync" || !setup.TopicMade || setup.Topic == "" {
				t.Errorf("set-up: %+v", setup)
			}
		})
	}
	checkNoTopics(t, client)
}

// measure runs l and checks what it reports. On a busy machine, or a disk that takes its time, nothing may be acknowledged in so short a
// measured time, and the report says so: then it is measured for longer.
func measure(t *testing.T, l Load, announce func(Setup)) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		report, err := Run(ctx, l, announce, nil)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if p := report.Produced; p != nil && (p.Records == 0 || p.Latency.Count == 0) && l.Duration < 5*time.Second {
			t.Logf("nothing was acknowledged within %s", l.Duration)
			l.Duration *= 4
			continue
		}
		checkReport(t, l, report)
		return
	}
}

func checkReport(t *testing.T, l Load, r Report) {
	t.Helper()
	if produced := l.Kind != Consume; (r.Produced != nil) != produced || produced && (r.Produced.Records == 0 || r.Produced.Latency.Count == 0) {
		t.Errorf("produced: %+v", r.Produced)
	}
	if read := l.Kind != Produce; (r.Read != nil) != read || read && r.Read.Records == 0 {
		t.Errorf("read: %+v", r.Read)
	}
	if l.Kind == EndToEnd && (r.Read.Latency == nil || r.Read.Latency.Count != r.Produced.Latency.Count) {
		t.Errorf("every record that is acknowledged is read: %+v, %+v", r.Read.Latency, r.Produced.Latency)
	}
	if l.NoCheck != (r.Check == nil) || r.Check != nil && (!r.Check.OK() || r.Check.Checked == 0 || r.Check.Foreign != 0) {
		t.Errorf("check: %+v", r.Check)
	}
	if want := int64(float64(l.Rate) * l.Duration.Seconds()); l.Rate > 0 && r.Produced.Latency.Count != want {
		t.Errorf("%d records were to be sent in the measured time, want %d", r.Produced.Latency.Count, want)
	}
	if r.Server == nil || r.Server.PeakRSS == 0 {
		t.Errorf("server: %+v", r.Server)
	}
	var out bytes.Buffer
	r.Write(&out)
	if !l.NoCheck && !strings.Contains(out.String(), "none lost") {
		t.Errorf("printed: %s", &out)
	}
}

func checkNoTopics(t *testing.T, client []kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(client...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("topics left: %v %v", topics.Names(), err)
	}
}

// A topic that is kept is read by a later run, which notices a record that came twice and one that is not there.
func TestKeptTopic(t *testing.T) {
	client := startBroker(t)
	l := Load{Client: client, Topic: "kept", Keep: true, Rate: 2000, Duration: 100 * time.Millisecond, WarmUp: -1, Partitions: 1, ServerPID: -1}
	for range 2 {
		if _, err := Run(t.Context(), l, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	read := Load{Kind: Consume, Client: client, Topic: "kept", ServerPID: -1}
	report, err := Run(t.Context(), read, nil, nil)
	if err != nil || report.Failed() || report.Check.Checked != 400 || report.Setup.TopicMade {
		t.Fatalf("%v: %+v", err, report.Check)
	}
	if n := report.Read.Records; n < 200 || n > 400 || report.MeasuredSeconds <= 0 { // all came at once: that is measured, not what came after it
		t.Errorf("%d of 400 records in %g s", n, report.MeasuredSeconds)
	}
	cl, err := kgo.NewClient(append(client, kgo.DefaultProduceTopic("kept"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	value := make([]byte, MinRecordBytes)
	for _, sequence := range []uint64{0, 2, 2} {
		head{run: 1, sequence: sequence}.stamp(value, nil, fillSum(value))
		if err := cl.ProduceSync(t.Context(), kgo.SliceRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("a stranger")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	report, err = Run(t.Context(), read, nil, nil)
	if c := report.Check; err != nil || !report.Failed() || c.Lost != 1 || c.Repeated != 1 || c.Foreign != 1 || c.Faults() != 2 {
		t.Errorf("%v: %+v", err, c)
	}
}

func TestInterrupted(t *testing.T) {
	client := startBroker(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := Load{Kind: EndToEnd, Client: client, Rate: 100, Duration: time.Hour}
	_, err := Run(ctx, l, func(Setup) { cancel() }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	checkNoTopics(t, client)
}

func TestValidate(t *testing.T) {
	if err := (Load{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := Load{
		Kind: "x", Partitions: -1, RecordBytes: 3, Compression: "rar", Acks: "2", BatchBytes: 1, Rate: -1, Duration: -1, Stall: -1,
	}.Validate()
	for _, word := range []string{"kind", "partitions", "3 bytes", "rar", "acks", "batches", "-1 records a second", "to measure", "stall"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}
