package interop

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// client is one foreign client under test.
type client interface {
	name() string
	can() abilities
	// open starts a producer for one topic. It ends with the test if it is not closed before.
	open(t *testing.T, broker string, o order) producer
	// consume reads the topic from its start to the end it had when reading began.
	consume(t *testing.T, broker, topic string) []stored
}

// producer sends records and waits for all of them. It returns partition and offset of each where the client tells them;
// both are -1 with acks=0. The error is the client's own.
type producer interface {
	send(rs []record) ([]stored, error)
	close()
}

// abilities are what a client can do; where one cannot, it is the client's limit and not the broker's.
type abilities struct {
	binary      bool // arbitrary bytes, headers and a timestamp of each record's own
	idempotent  bool
	transaction bool
	zeroTime    bool // the timestamp 0, which some take for "now"
	wideBatch   bool // one batch with timestamps far apart
	longLived   bool // one producer sends more than once
	readsNull   bool // tells null from empty when it reads
	readsEmpty  bool // reads over batches without records
}

var everything = abilities{binary: true, idempotent: true, transaction: true, zeroTime: true, wideBatch: true, longLived: true, readsNull: true,
	readsEmpty: true}

// order says what a producer is to do. The zero value of acks is all.
type order struct {
	topic, codec string
	idempotent   bool
	acks         string // 0, 1 or all
	large        bool   // for one record above the client's usual limit
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// clients are those that `run` could install. In CI all of them are there; elsewhere a missing one is skipped by name.
func clients(t *testing.T) []client {
	all := []client{franz{}, sarama{}, segmentio{}}
	noTransactions, noZeroTime, noWideBatch := everything, everything, everything
	noTransactions.idempotent, noTransactions.transaction = false, false
	noZeroTime.zeroTime = false
	noWideBatch.wideBatch = false
	for _, c := range []struct {
		client
		needs string
	}{
		{kcat{}, "QUIRE_INTEROP_KCAT"},
		{program{"kafka-python", everything, argv("QUIRE_INTEROP_PYTHON", "clients/python/roundtrip.py")}, "QUIRE_INTEROP_PYTHON"},
		{program{"java", everything, []string{"java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", os.Getenv("QUIRE_INTEROP_JAVA"), "RoundTrip"}}, "QUIRE_INTEROP_JAVA"},
		{console{}, "QUIRE_INTEROP_JAVA"},
		{program{"kafka-python-2.0.2", noTransactions, argv("QUIRE_INTEROP_PYTHON_OLD", "clients/python/roundtrip.py")}, "QUIRE_INTEROP_PYTHON_OLD"},
		{program{"confluent-python", noZeroTime, argv("QUIRE_INTEROP_CONFLUENT_PYTHON", "clients/confluent-python/roundtrip.py")}, "QUIRE_INTEROP_CONFLUENT_PYTHON"},
		{program{"confluent-go", noZeroTime, argv("QUIRE_INTEROP_CONFLUENT_GO")}, "QUIRE_INTEROP_CONFLUENT_GO"},
		{program{"kafkajs", everything, argv("QUIRE_INTEROP_NODE", os.Getenv("QUIRE_INTEROP_NODE_DIR")+"/kafkajs.mjs")}, "QUIRE_INTEROP_NODE"},
		{program{"platformatic", noWideBatch, argv("QUIRE_INTEROP_NODE", os.Getenv("QUIRE_INTEROP_NODE_DIR")+"/platformatic.mjs")}, "QUIRE_INTEROP_NODE"},
	} {
		if os.Getenv(c.needs) == "" {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed: run it through ./run", c.name())
			}
			t.Logf("SKIPPED: %s is not installed", c.name())
			continue
		}
		all = append(all, c.client)
	}
	return all
}

func argv(variable string, args ...string) []string {
	return append([]string{os.Getenv(variable)}, args...)
}

// produceAll sends rs with one producer and fails the test if the client does.
func produceAll(t *testing.T, c client, broker string, o order, rs []record) []stored {
	t.Helper()
	p := c.open(t, broker, o)
	defer p.close()
	got, err := p.send(rs)
	if err != nil {
		t.Fatalf("%s: %v", c.name(), err)
	}
	return got
}

// output runs a client program and returns what it printed.
func output(t *testing.T, stdin io.Reader, argv ...string) []byte {
	t.Helper()
	out, err := runProgram(t, stdin, argv...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return out
}

// runProgram is output for a program that may fail; the error holds the end of what it wrote to standard error.
func runProgram(t *testing.T, stdin io.Reader, argv ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), &programError{err, string(tail(errs.Bytes()))}
	}
	return out.Bytes(), nil
}

// programError is a client program that ended with another status than 0.
type programError struct {
	status  error
	printed string
}

func (e *programError) Error() string { return e.status.Error() + "\n" + e.printed }

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
