package placement

import (
	"context"
	"errors"
	"testing"
	"time"
)

// tell closes what Keepers wait on.
func (w *world) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
}

// TestRun moves a partition by Keepers that run, each woken by what changes; left alone they would look too late for the test.
func TestRun(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	id := ID{Topic: w.topic("t", on(1)).ID}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	for _, k := range w.keepers {
		k.pace = pace{gap: time.Millisecond, pending: time.Hour, idle: time.Hour}
		go func() {
			k.Run(ctx)
			ended <- struct{}{}
		}()
	}
	w.mu.Lock()
	w.reassign(id, 2)
	w.mu.Unlock()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		w.pass(time.Millisecond)
		w.tell()
		w.mu.Lock()
		p := w.partition(id)
		done = !reassigning(&p)
		w.mu.Unlock()
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not moved: %v", w.log)
		}
	}
	cancel()
	for range w.keepers {
		<-ended
	}
	w.expect("add 2-a", "promote 2-a", "transfer to 2-a", "remove 1-a", "complete [2]")
}

func TestInternalTopicsGrow(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	first := ID{Topic: w.topic("__i", on(1), on(1)).ID}
	second := ID{Topic: first.Topic, Partition: 1}
	w.rest()
	w.expect() // nobody leads the controller
	w.leads = 2
	w.alive[3] = false
	w.rest()
	w.now = w.now.Add(time.Minute)
	w.rest()
	w.expect() // one is not there
	w.alive[3] = true
	w.look(2)
	w.now = w.now.Add(settleTime - 1)
	w.look(2)
	if p := w.partition(first); reassigning(&p) {
		t.Error("begun before it settled")
	}
	w.now = w.now.Add(1)
	w.look(2)
	w.rest()
	for _, id := range []ID{first, second} {
		if p := w.partition(id); len(p.Replicas) != 3 || reassigning(&p) || !sameSet(w.groups[id].voters, w.servers(1, 2, 3)) {
			t.Errorf("%s: %+v", id, p)
		}
	}
	w.log = nil
	w.now = w.now.Add(time.Minute)
	w.look(2)
	w.now = w.now.Add(time.Minute)
	w.look(2)
	w.expect()
}

func FuzzCalls(f *testing.F) {
	f.Add(encode([]transferItem{{partitionName{Partition: 1}, "1-a"}}))
	f.Add(encode(resetCall{partitionName{Partition: 1}, "crc"}))
	f.Add([]byte(`[{"t":"AAAAAAAAAAAAAAAAAAAAAA","p":-1}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t, brokers("", ""))
		w.topic("t", on(1, 2))
		k := w.keepers[1]
		ctx := context.Background()
		for what, handle := range map[string]func(context.Context, ServerID, []byte) ([]byte, error){
			"transfer": k.HandleTransfer, "replicas": k.HandleReplicas, "reset": k.HandleReset,
		} {
			if answer, err := handle(ctx, "2-a", body); err != nil && answer != nil {
				t.Errorf("%s: an answer and %v", what, err)
			}
		}
	})
}

func TestCallsAreBounded(t *testing.T) {
	w := newWorld(t, brokers(""))
	names := make([]partitionName, MaxCallItems+1)
	if _, err := w.keepers[1].HandleReplicas(context.Background(), "1-a", encode(names)); !errors.Is(err, ErrMalformedCall) {
		t.Errorf("%d partitions: %v", len(names), err)
	}
	if _, err := w.keepers[1].HandleReplicas(context.Background(), "1-a", encode(names[1:])); err != nil {
		t.Errorf("%d partitions: %v", len(names)-1, err)
	}
	if _, err := w.keepers[1].HandleTransfer(context.Background(), "1-a", []byte("[")); !errors.Is(err, ErrMalformedCall) {
		t.Errorf("half a list: %v", err)
	}
}
