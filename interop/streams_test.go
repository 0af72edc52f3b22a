package interop

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestStreamsWordCount runs Kafka Streams' word count: Streams makes its own changelog and repartition topics, and after a restart the counts, which it
// kept in memory, are restored from the changelog and go on.
func TestStreamsWordCount(t *testing.T) {
	needsJava(t)
	broker := brokerUnderTest(t)
	createTopic(t, broker, "text", 3)
	createTopic(t, broker, "counts", 2)
	rng := rand.New(rand.NewPCG(4, 4))
	want := map[string]string{}
	for round := range 2 {
		app := startWordCount(t, broker)
		countWords(want, produceText(t, broker, rng, 300))
		awaitCounts(t, broker, want)
		printed := app.stop(t)
		restored := 0
		for line := range strings.Lines(printed) {
			n, _ := strings.CutPrefix(strings.TrimSpace(line), "restored ")
			restored += int(number(t, n))
		}
		if round == 1 && restored < len(want) {
			t.Errorf("%d records were restored from the changelog, of %d words", restored, len(want))
		}
	}
	checkStreamsTopics(t, broker)
}

// produceText sends lines of a few words out of a hundred and returns all the words.
func produceText(t *testing.T, broker string, rng *rand.Rand, lines int) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic("text"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var all []string
	var rs []*kgo.Record
	for range lines {
		words := make([]string, 1+rng.IntN(9))
		for i := range words {
			words[i] = fmt.Sprintf("word-%d", rng.IntN(100))
		}
		all = append(all, words...)
		rs = append(rs, kgo.StringRecord(strings.Join(words, " ")))
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return all
}

func countWords(counts map[string]string, words []string) {
	for _, w := range words {
		n, _ := strconv.Atoi(counts[w]) // a new word has none
		counts[w] = strconv.Itoa(n + 1)
	}
}

// awaitCounts reads the topic counts until the last of each word is what is wanted.
func awaitCounts(t *testing.T, broker string, want map[string]string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("counts"), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[string]string{}
	for !maps.Equal(got, want) {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d words counted of %d: %v\ngot  %v\nwant %v", len(got), len(want), err, got, want)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Key)] = string(r.Value) })
	}
}

// checkStreamsTopics checks that Streams got its internal topics as it wants them.
func checkStreamsTopics(t *testing.T, broker string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for topic, want := range map[string]map[string]string{
		"word-count-counts-changelog":   {"cleanup.policy": "compact"},
		"word-count-counts-repartition": {"cleanup.policy": "delete", "retention.ms": "-1"},
	} {
		rcs, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		rc, err := rcs.On(topic, nil)
		if err != nil || rc.Err != nil {
			t.Fatal(topic, err, rc.Err)
		}
		for _, c := range rc.Configs {
			if v, ok := want[c.Key]; ok && c.MaybeValue() != v {
				t.Errorf("%s: %s is %q, not %q", topic, c.Key, c.MaybeValue(), v)
			}
		}
	}
}

// wordCount is a running clients/java/src/WordCount.java.
type wordCount struct {
	cmd *exec.Cmd
	in  io.Closer
	out *lockedBuffer
}

func startWordCount(t *testing.T, broker string) *wordCount {
	t.Helper()
	argv := tool("WordCount", broker, "word-count", t.TempDir(), "text", "counts")
	w := &wordCount{cmd: exec.CommandContext(t.Context(), argv[0], argv[1:]...), out: new(lockedBuffer)}
	w.cmd.Stdout, w.cmd.Stderr = w.out, os.Stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.in = in
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// stop lets the program end and returns what it printed.
func (w *wordCount) stop(t *testing.T) string {
	t.Helper()
	limit := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	defer limit.Stop()
	_ = w.in.Close()
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("word count: %v", err)
	}
	return string(w.out.bytes())
}
