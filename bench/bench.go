// Package bench loads a Kafka address, checks every record that comes back, and measures what the broker takes and gives.
//
// A run makes a topic (unless it exists), produces to it, reads from it, or both at once, and removes what it made. Every record says
// who sent it when, and its place in the order; see record.go for the layout and checker for what is checked.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kind is what a run measures.
type Kind string

// The kinds of runs.
const (
	Produce  Kind = "produce" // acknowledgements; the records are read back afterwards, unmeasured
	Consume  Kind = "consume" // reading what the topic holds; a topic made for the run is filled first, unmeasured
	EndToEnd Kind = "e2e"     // producing and reading at the same time
)

// Load says what to produce and consume. Zero values are the defaults.
type Load struct {
	Kind   Kind      // "": Produce
	Client []kgo.Opt // how to reach the brokers: seeds, authentication
	Topic  string    // "": a name of its own. A topic that exists is used as it is, and is never removed.
	Keep   bool      // leave the topic that the run has made

	Partitions   int32              // of a topic that is made; 0: 6
	Replicas     int16              // of a topic that is made; 0: the broker's default
	TopicConfigs map[string]*string // of a topic that is made

	Producers, Consumers int    // clients; 0: one
	RecordBytes          int    // of a value, at least MinRecordBytes; 0: 100
	Keys                 int    // distinct keys, chosen at random; 0: records have none
	Text                 bool   // values that compress to about a third; else they do not compress
	Compression          string // none, gzip, snappy, lz4 or zstd; "": none
	Acks                 string // all (idempotent), 1 or 0; "": all
	BatchBytes           int32  // largest batch; 0: 1,000,000
	Linger               time.Duration
	Window               int // records a producer has unacknowledged at most; 0: 16 MiB worth, and at most 32,768

	Rate     int64         // records a second, all producers together; 0: as fast as they are acknowledged
	WarmUp   time.Duration // before the measured time; < 0: none, 0: 1 s
	Duration time.Duration // measured; 0: 10 s. Consume fills the topic for as long, and reads all of it.
	Stall    time.Duration // a reading that gets nothing for so long has failed; 0: 30 s

	NoCheck   bool // Produce: do not read back
	ServerPID int  // whose CPU and memory are measured; 0: who listens on a broker's port of this machine, -1: nobody's

	Version string // of the program that measures, for the set-up
}

const (
	maxLanes       = 1024 // of producers, and of consumers
	maxRecordBytes = 64 << 20
	maxKeys        = 10_000_000
	maxPartitions  = 100_000
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// Codecs are the values of Load.Compression.
func Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (l Load) withDefaults() Load {
	l.Kind = or(l.Kind, Produce)
	l.Partitions, l.Replicas = or(l.Partitions, 6), or(l.Replicas, -1)
	l.Producers, l.Consumers = or(l.Producers, 1), or(l.Consumers, 1)
	l.RecordBytes = or(l.RecordBytes, 100)
	l.Compression, l.Acks = or(l.Compression, "none"), or(l.Acks, "all")
	l.BatchBytes = or(l.BatchBytes, 1_000_000)
	l.Window = or(l.Window, min(max(16<<20/max(l.RecordBytes, 1), 64), 32<<10))
	l.WarmUp, l.Duration, l.Stall = max(0, or(l.WarmUp, time.Second)), or(l.Duration, 10*time.Second), or(l.Stall, 30*time.Second)
	if l.Kind == Consume { // the pace and the warm-up of the filling mean nothing
		l.Rate, l.WarmUp = 0, 0
	}
	return l
}

// Validate names all that is wrong with l.
func (l Load) Validate() error {
	l = l.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(slices.Contains([]Kind{Produce, Consume, EndToEnd}, l.Kind), "kind %q: want produce, consume or e2e", l.Kind)
	check(l.Partitions >= 1 && l.Partitions <= maxPartitions, "%d partitions: want 1 to %d", l.Partitions, maxPartitions)
	check(l.Replicas == -1 || l.Replicas > 0, "%d replicas: want at least 1", l.Replicas)
	check(l.Producers >= 1 && l.Producers <= maxLanes, "%d producers: want 1 to %d", l.Producers, maxLanes)
	check(l.Consumers >= 1 && l.Consumers <= maxLanes, "%d consumers: want 1 to %d", l.Consumers, maxLanes)
	check(l.RecordBytes >= MinRecordBytes && l.RecordBytes <= maxRecordBytes,
		"records of %d bytes: want %d (sequence, time and checksum) to %d", l.RecordBytes, MinRecordBytes, maxRecordBytes)
	check(l.Keys >= 0 && l.Keys <= maxKeys, "%d keys: want 0 to %d", l.Keys, maxKeys)
	check(slices.Contains(Codecs(), l.Compression), "compression %q: want one of %v", l.Compression, Codecs())
	check(slices.Contains([]string{"all", "1", "0"}, l.Acks), "acks %q: want all, 1 or 0", l.Acks)
	check(l.BatchBytes >= 1<<10 && l.BatchBytes <= 1<<30, "batches of %d bytes: want 1 KiB to 1 GiB", l.BatchBytes)
	check(int64(l.BatchBytes) >= int64(l.RecordBytes)+128,
		"a record of %d bytes does not fit into a batch of %d", l.RecordBytes, l.BatchBytes)
	check(l.Linger >= 0 && l.Linger <= time.Minute, "linger %s: want 0 to 1m", l.Linger)
	check(l.Window >= 1 && l.Window <= 10_000_000, "a window of %d records: want 1 to 10,000,000", l.Window)
	check(l.Rate >= 0 && l.Rate <= 1_000_000_000, "%d records a second: want at most 1,000,000,000", l.Rate)
	check(l.Duration > 0 && l.Duration <= 7*24*time.Hour, "%s to measure: want up to 168h", l.Duration)
	check(l.WarmUp <= 24*time.Hour, "%s to warm up: want at most 24h", l.WarmUp)
	check(l.Stall > 0, "a stall of %s: want more", l.Stall)
	return errors.Join(errs...)
}

// run is one run. Its fields are set by Run, before a lane starts.
type run struct {
	load     Load
	id       uint64 // tells this run's records from others' in the same topic
	topic    topic
	clock    clock
	window   window
	server   *Process  // nil: not measured
	keyParts []int32   // partition of each key, where Kafka's own clients put it
	progress io.Writer // nil: none
}

// Run loads the brokers. It hands announce the set-up before the load begins, writes a line a second to progress (nil: none), and
// returns what was measured. Findings of the checker are in the report and are no error. The topic is removed also when ctx ends.
func Run(ctx context.Context, l Load, announce func(Setup), progress io.Writer) (report Report, err error) {
	if err := l.Validate(); err != nil {
		return Report{}, err
	}
	r := &run{load: l.withDefaults(), id: rand.Uint64(), clock: newClock(), progress: progress}
	adm, err := r.admin()
	if err != nil {
		return Report{}, err
	}
	defer adm.Close()
	if r.topic, err = openTopic(ctx, adm, r.load, r.id); err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, r.topic.remove(ctx, adm)) }()
	r.keyParts = r.keyPartitions()
	setup, err := r.setup(ctx, adm)
	if err != nil {
		return Report{}, err
	}
	if announce != nil {
		announce(setup)
	}
	report, err = r.measure(ctx)
	report.Kind, report.Setup = r.load.Kind, setup
	return report, err
}

func (r *run) measure(ctx context.Context) (Report, error) {
	switch r.load.Kind {
	case Consume:
		return r.consume(ctx)
	case EndToEnd:
		return r.endToEnd(ctx)
	}
	return r.produce(ctx)
}
