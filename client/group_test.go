package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/quiretest"
	"github.com/quirelog/quire/client"
)

// protocols are the ways to join: classic, and the broker's assignors.
var protocols = []string{"", "uniform", "range"}

// quickHeartbeats lets members of the new protocol hear of changes at once.
func quickHeartbeats(c *config.Config) {
	c.Groups.Heartbeat, c.Groups.Interval = 50*time.Millisecond, 0
}

func joinGroup(t *testing.T, c *client.Client, o client.GroupOptions) *client.Group {
	t.Helper()
	g, err := c.Group(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	return g
}

// take reads n messages and hands each to handle.
func take(t *testing.T, g *client.Group, n int, handle func(*client.Message)) {
	t.Helper()
	for m, err := range g.Messages(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		handle(m)
		if n--; n == 0 {
			return
		}
	}
}

func commit(t *testing.T, m *client.Message) {
	t.Helper()
	if err := m.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// committedOffset is the group's offset of partition 0; -1: none.
func committedOffset(t *testing.T, c *client.Client, group, topic string) int64 {
	t.Helper()
	all, err := c.Admin().FetchOffsets(testContext(t), group)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := all.Lookup(topic, 0)
	if !ok {
		return -1
	}
	return o.At
}

func TestGroupGoesOnAfterWhatItCommitted(t *testing.T) {
	for _, assignor := range protocols {
		t.Run(assignor, func(t *testing.T) {
			b := quiretest.Start(t, partitions(4), quickHeartbeats)
			c := newClient(t, b, client.Options{})
			publish(t, c, numbered("orders", 100, time.Now())...)
			o := client.GroupOptions{Group: "workers", Topics: []string{"orders"}, ServerAssignor: assignor}

			seen := map[string]int{}
			first := joinGroup(t, c, o)
			take(t, first, 60, func(m *client.Message) {
				seen[string(m.Value)]++
				commit(t, m)
			})
			if err := first.Close(testContext(t)); err != nil {
				t.Fatal(err)
			}
			second := joinGroup(t, c, o)
			take(t, second, 40, func(m *client.Message) {
				seen[string(m.Value)]++
				commit(t, m)
			})
			for i := range 100 {
				if n := seen[fmt.Sprint(i)]; n != 1 {
					t.Errorf("record %d was read %d times, want once", i, n)
				}
			}
		})
	}
}

func TestGroupReadsAgainWhatWasNotCommitted(t *testing.T) {
	b := quiretest.Start(t, partitions(1), quickHeartbeats)
	c := newClient(t, b, client.Options{})
	publish(t, c, numbered("orders", 3, time.Now())...)
	o := client.GroupOptions{Group: "workers", Topics: []string{"orders"}}
	first := joinGroup(t, c, o)
	n := 0
	take(t, first, 3, func(m *client.Message) {
		if n++; n == 1 {
			commit(t, m)
		}
	})
	if err := first.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	var again []string
	take(t, joinGroup(t, c, o), 2, func(m *client.Message) { again = append(again, string(m.Value)) })
	if want := []string{"1", "2"}; !slices.Equal(again, want) {
		t.Errorf("read again %v, want %v", again, want)
	}
}

func TestCommitCoversOnlyWhatIsFinished(t *testing.T) {
	b := quiretest.Start(t, partitions(1), quickHeartbeats)
	c := newClient(t, b, client.Options{})
	publish(t, c, numbered("orders", 3, time.Now())...)
	g := joinGroup(t, c, client.GroupOptions{Group: "workers", Topics: []string{"orders"}})
	var got []*client.Message
	take(t, g, 3, func(m *client.Message) { got = append(got, m) })
	commit(t, got[2])
	commit(t, got[1])
	if at := committedOffset(t, c, "workers", "orders"); at != -1 {
		t.Errorf("offset %d is committed though the first record is in hand", at)
	}
	commit(t, got[0])
	if at := committedOffset(t, c, "workers", "orders"); at != 3 {
		t.Errorf("offset %d is committed, want 3", at)
	}
}

// TestRevokedPartitionIsDrained lets a second member join while the first has a record of every partition in hand.
func TestRevokedPartitionIsDrained(t *testing.T) {
	for _, assignor := range protocols {
		t.Run(assignor, func(t *testing.T) {
			b := quiretest.Start(t, partitions(2), quickHeartbeats)
			c := newClient(t, b, client.Options{})
			publish(t, c, numbered("orders", 40, time.Now())...)
			o := client.GroupOptions{Group: "workers", Topics: []string{"orders"}, ServerAssignor: assignor}

			ctx := testContext(t)
			one, two := joinGroup(t, c, o), joinGroup(t, c, o)
			inHand := map[int32]*client.Message{}
			got := make(chan *client.Message)
			go forward(ctx, t, one, got)
			for len(inHand) < 2 {
				m := <-got
				if inHand[m.Partition] == nil {
					inHand[m.Partition] = m
				} else {
					commit(t, m) // finished, and behind what is in hand
				}
			}
			theirs := make(chan *client.Message)
			go forward(ctx, t, two, theirs)
			go func() { // the first member goes on, behind what is in hand
				for m := range got {
					_ = m.Commit(ctx)
				}
			}()
			awaitMembers(t, c, o.Group, 2)
			// Neither partition can go before its record is committed, so whatever the second member reads comes after it.
			for _, m := range inHand {
				commit(t, m)
			}
			var m *client.Message
			for m == nil { // until a partition is the second member's, the first one reads what is published
				publish(t, c, numbered("orders", 10, time.Now())...)
				select {
				case m = <-theirs:
					if m == nil {
						t.Fatal("the second member's loop ended without a record")
					}
				case <-time.After(50 * time.Millisecond):
				}
			}
			if m.Offset <= inHand[m.Partition].Offset {
				t.Errorf("partition %d was read again from offset %d, though %d was in hand and then committed",
					m.Partition, m.Offset, inHand[m.Partition].Offset)
			}
		})
	}
}

// awaitMembers returns when the group has n members.
func awaitMembers(t *testing.T, c *client.Client, group string, n int) {
	t.Helper()
	ctx := testContext(t)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		classic, _ := c.Admin().DescribeGroups(ctx, group)
		modern, _ := c.Admin().DescribeConsumerGroups(ctx, group)
		if len(classic[group].Members) == n || len(modern[group].Members) == n {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("group %q has not got %d members", group, n)
		}
	}
}

// forward hands on what g reads until ctx ends.
func forward(ctx context.Context, t *testing.T, g *client.Group, to chan<- *client.Message) {
	defer close(to)
	for m, err := range g.Messages(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("read: %v", err)
			}
			return
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return
		}
	}
}

func TestCommitAfterThePartitionHasGone(t *testing.T) {
	b := quiretest.Start(t, partitions(1), quickHeartbeats)
	c := newClient(t, b, client.Options{})
	publish(t, c, numbered("orders", 2, time.Now())...)
	g := joinGroup(t, c, client.GroupOptions{Group: "workers", Topics: []string{"orders"}})
	var got *client.Message
	take(t, g, 1, func(m *client.Message) { got = m })
	if err := g.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := got.Commit(testContext(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("commit after Close: %v, want ErrClosed", err)
	}
}

func TestGroupOptionsAreChecked(t *testing.T) {
	c, err := client.New(client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, o := range map[string]client.GroupOptions{
		"no group":    {Topics: []string{"orders"}},
		"no topics":   {Group: "workers"},
		"an offset":   {Group: "workers", Topics: []string{"orders"}, From: client.FromOffset(7)},
		"an assignor": {Group: "workers", Topics: []string{"orders"}, ServerAssignor: "best"},
		"a time-out":  {Group: "workers", Topics: []string{"orders"}, DrainTimeout: -1},
	} {
		if _, err := c.Group(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
