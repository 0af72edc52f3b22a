package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/quiretest"
	"github.com/quirelog/quire/client"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestReplayStartsWhereTold(t *testing.T) {
	c := quiretest.Start(t, partitions(1)).Client()
	begin := time.Now().Truncate(time.Second).Add(-9*time.Second - 500*time.Millisecond) // record 9 is half a second old or more
	publish(t, c, numbered("t", 10, begin)...)
	for name, tt := range map[string]struct {
		from client.Position
		want int // the first record
	}{
		"zero value":        {client.Position{}, 0},
		"start":             {client.FromStart(), 0},
		"end":               {client.FromEnd(), 10},
		"offset":            {client.FromOffset(7), 7},
		"offset at the end": {client.FromOffset(10), 10},
		"offset beyond":     {client.FromOffset(99), 10},
		"offsets":           {client.FromOffsets(map[int32]int64{0: 3}), 3},
		"no offsets":        {client.FromOffsets(nil), 0},
		"time of a record":  {client.FromTime(begin.Add(4 * time.Second)), 4},
		"time between":      {client.FromTime(begin.Add(4*time.Second + time.Millisecond)), 5},
		"time before all":   {client.FromTime(begin.Add(-time.Hour)), 0},
		"time after all":    {client.FromTime(begin.Add(time.Hour)), 10},
		"age":               {client.FromAge(time.Hour), 0},
		"age of none":       {client.FromAge(0), 10},
	} {
		var want []string
		for i := tt.want; i < 10; i++ {
			want = append(want, fmt.Sprint(i))
		}
		if got := values(collect(t, c, "t", client.ReplayOptions{From: tt.from})); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// TestReplayByTime publishes records of all partitions in a random-looking order of time, and wants them sorted.
func TestReplayByTime(t *testing.T) {
	c := quiretest.Start(t, partitions(5)).Client()
	const n = 20_000
	publish(t, c, numbered("t", n, time.UnixMilli(1_700_000_000_000))...)
	for name, o := range map[string]client.ReplayOptions{
		"":               {ByTime: true},
		"little buffer":  {ByTime: true, BufferBytes: 1},
		"two partitions": {ByTime: true, Partitions: []int32{1, 3}},
	} {
		got := collect(t, c, "t", o)
		if len(o.Partitions) == 0 && len(got) != n {
			t.Errorf("%s: %d records, want %d", name, len(got), n)
		}
		if !slices.IsSortedFunc(got, func(a, b *client.Record) int { return a.Timestamp.Compare(b.Timestamp) }) {
			t.Errorf("%s: not in order of time", name)
		}
		for _, r := range got {
			if len(o.Partitions) > 0 && !slices.Contains(o.Partitions, r.Partition) {
				t.Fatalf("%s: a record of partition %d", name, r.Partition)
			}
		}
	}
}

// TestReplayByTimeOfUnlikePartitions has one partition's records all later than the others': they are fetched first and must
// wait, in bounded memory.
func TestReplayByTimeOfUnlikePartitions(t *testing.T) {
	c := quiretest.Start(t, partitions(2)).Client()
	begin := time.UnixMilli(1_700_000_000_000)
	var records []*client.Record
	for i := range 300 {
		late := &client.Record{Topic: "t", Key: []byte("user_123"), Value: incompressible(10_000), Timestamp: begin.Add(time.Hour)}
		early := &client.Record{Topic: "t", Key: []byte("customer_456"), Value: incompressible(10_000), Timestamp: begin.Add(time.Duration(i))}
		records = append(records, late, early)
	}
	publish(t, c, records...)
	if records[0].Partition == records[1].Partition {
		t.Fatal("the keys share a partition")
	}
	got := collect(t, c, "t", client.ReplayOptions{ByTime: true, BufferBytes: 100_000})
	if len(got) != len(records) {
		t.Fatalf("%d records, want %d", len(got), len(records))
	}
	next := map[int32]int64{}
	for i, r := range got {
		if want := records[1].Partition; i < 300 && r.Partition != want {
			t.Fatalf("record %d is of partition %d, want %d", i, r.Partition, want)
		}
		if r.Offset != next[r.Partition] {
			t.Fatalf("partition %d: offset %d, want %d", r.Partition, r.Offset, next[r.Partition])
		}
		next[r.Partition]++
	}
}

func TestReplayFollows(t *testing.T) {
	b := quiretest.Start(t, partitions(3))
	c := b.Client()
	for _, byTime := range []bool{false, true} {
		topic := fmt.Sprintf("t-%t", byTime)
		publish(t, c, numbered(topic, 5, time.UnixMilli(1_700_000_000_000))...)
		seen := 0
		for r, err := range c.Replay(testContext(t), topic, client.ReplayOptions{Follow: true, ByTime: byTime}) {
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if seen < 5 {
				continue
			}
			if seen == 10 {
				break
			}
			if seen > 5 && string(r.Value) != fmt.Sprint("later ", seen-1) {
				t.Errorf("got %s after %d records", r.Value, seen)
			}
			publish(t, c, &client.Record{Topic: topic, Value: fmt.Append(nil, "later ", seen)})
		}
		if seen != 10 {
			t.Errorf("saw %d records, want 10", seen)
		}
	}
}

// TestReplayEndsWhereTheLogEnded publishes more while a replay up to now runs.
func TestReplayEndsWhereTheLogEnded(t *testing.T) {
	c := quiretest.Start(t).Client()
	publish(t, c, numbered("t", 10, time.Now())...)
	seen := 0
	for _, err := range c.Replay(testContext(t), "t", client.ReplayOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		publish(t, c, &client.Record{Topic: "t", Value: []byte("more")})
	}
	if seen != 10 {
		t.Errorf("saw %d records, want 10", seen)
	}
}

func TestReplayFindsNewPartitions(t *testing.T) {
	c := quiretest.Start(t, partitions(1)).Client()
	c.SetNewPartitionsEvery(10 * time.Millisecond)
	publish(t, c, &client.Record{Topic: "t", Value: []byte("first")})
	for r, err := range c.Replay(testContext(t), "t", client.ReplayOptions{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Partition > 0 {
			break
		}
		if string(r.Value) != "first" {
			continue
		}
		if _, err := c.Admin().CreatePartitions(testContext(t), 3, "t"); err != nil {
			t.Fatal(err)
		}
		var later []*client.Record
		for i := range 100 {
			later = append(later, &client.Record{Topic: "t", Key: fmt.Append(nil, i)})
		}
		fresh := newClientLike(t, c) // it knows of all partitions
		publish(t, fresh, later...)
	}
}

func TestReplayErrors(t *testing.T) {
	c := quiretest.Start(t, partitions(2)).Client()
	publish(t, c, &client.Record{Topic: "t"})
	for _, tt := range []struct {
		topic string
		o     client.ReplayOptions
		is    error
		says  []string
	}{
		{"nothing", client.ReplayOptions{From: client.FromAge(time.Hour)}, kerr.UnknownTopicOrPartition,
			[]string{`replay topic "nothing" from 1h0m0s ago`, "no such topic", "quire topic create"}},
		{"t", client.ReplayOptions{Partitions: []int32{7}}, kerr.UnknownTopicOrPartition, []string{"no such topic or partition"}},
		{"t", client.ReplayOptions{From: client.FromOffsets(map[int32]int64{7: 1})}, kerr.UnknownTopicOrPartition, []string{"offsets map[7:1]"}},
		{"t", client.ReplayOptions{From: client.FromOffset(-1)}, kerr.OffsetOutOfRange, []string{"offset -1", "not in the log"}},
	} {
		var got error
		for _, err := range c.Replay(testContext(t), tt.topic, tt.o) {
			got = err
		}
		if !errors.Is(got, tt.is) {
			t.Errorf("%s: got %v, want %v", tt.topic, got, tt.is)
			continue
		}
		for _, want := range tt.says {
			if !strings.Contains(got.Error(), want) {
				t.Errorf("%v does not say %q", got, want)
			}
		}
	}
	md, err := c.Admin().ListTopics(testContext(t))
	if err != nil || md.Has("nothing") {
		t.Errorf("a replay made the topic: %v, %v", md.Names(), err)
	}
}

func TestReplayEndsWithItsContextAndWithTheClient(t *testing.T) {
	b := quiretest.Start(t)
	c := newClient(t, b, client.Options{})
	publish(t, c, &client.Record{Topic: "t"})
	ctx, cancel := context.WithCancel(testContext(t))
	if err := endOf(c, ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("its context: %v", err)
	}
	if err := endOf(c, testContext(t), c.Close); !errors.Is(err, client.ErrClosed) {
		t.Errorf("the client: %v", err)
	}
}

// endOf follows topic t, calls stop at the first record, and returns the error that ends the replay.
func endOf(c *client.Client, ctx context.Context, stop func()) (end error) {
	for _, err := range c.Replay(ctx, "t", client.ReplayOptions{Follow: true}) {
		if err != nil {
			return err
		}
		stop()
	}
	return nil
}

// TestReplayTouchesNoGroup also tries that a replay can be repeated within itself.
func TestReplayTouchesNoGroup(t *testing.T) {
	c := quiretest.Start(t, partitions(1)).Client()
	publish(t, c, numbered("t", 3, time.Now())...)
	again := c.Replay(testContext(t), "t", client.ReplayOptions{})
	seen := 0
	for range again {
		for range again {
			seen++
		}
	}
	if seen != 9 {
		t.Errorf("three replays of three records gave %d", seen)
	}
}

// TestNothingLeaksWhenTheLoopIsLeft leaves replays at their first record: their goroutines end with the loop.
func TestNothingLeaksWhenTheLoopIsLeft(t *testing.T) {
	c := quiretest.Start(t).Client()
	publish(t, c, numbered("t", 1000, time.Now())...)
	before := runtime.NumGoroutine()
	for i := range 20 {
		for _, err := range c.Replay(testContext(t), "t", client.ReplayOptions{Follow: i%2 == 0, ByTime: i%3 == 0}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	const slack = 4 // of the runtime and of what the broker closes a moment later
	for deadline := time.Now().Add(testWait); runtime.NumGoroutine() > before+slack; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}
