package consumergroup

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// slow lets every append take d.
func slow(d time.Duration) func(int) (time.Duration, bool, error) {
	return func(int) (time.Duration, bool, error) { return d, true, nil }
}

// TestNothingIsAnsweredBeforeItIsCommitted: neither a commit nor a fetch that would show it.
func TestNothingIsAnsweredBeforeItIsCommitted(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		r.ask(commit("g", "orders", 0, 1))
		r.logs[0].fault(slow(time.Second))
		set := r.start(commit("g", "orders", 0, 2))
		get := r.start(fetchAllOf("g"))
		r.pass(999 * time.Millisecond)
		if set.response() != nil || get.response() != nil {
			t.Fatal("answered before the append returned")
		}
		r.pass(2 * time.Millisecond)
		if set.response() == nil || commitCode(set.response()) != 0 {
			t.Fatalf("commit: %+v", set.response())
		}
		if got := get.response().(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0].Offset; got != 2 {
			t.Fatalf("fetched %d", got)
		}
	})
}

// TestWhatArrivesDuringAnAppendIsOneBatch: a thousand clients cost two appends.
func TestWhatArrivesDuringAnAppendIsOneBatch(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		r.logs[0].fault(slow(10 * time.Millisecond))
		var all []*asked
		for i := range 1000 {
			all = append(all, r.start(commit(fmt.Sprintf("g%d", i), "orders", 0, 7)))
			if i == 0 {
				synctest.Wait()
			}
		}
		r.pass(21 * time.Millisecond)
		for _, a := range all {
			if commitCode(a.response()) != 0 {
				t.Fatalf("%+v", a.response())
			}
		}
		if n := r.logs[0].appends; n != 2 {
			t.Errorf("%d appends, want 2", n)
		}
	})
}

// TestBatchesAreBounded: commits of more than a batch's worth take several, each within MaxBatch, and none is lost.
func TestBatchesAreBounded(t *testing.T) {
	o := options(1)
	o.MaxBatch = 8 << 10
	inBubble(t, o, func(t *testing.T, r *rig) {
		r.logs[0].fault(slow(time.Millisecond))
		var all []*asked
		for i := range 100 {
			req := commit(fmt.Sprintf("g%d", i), "orders", 0, 7)
			req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 1000))
			all = append(all, r.start(req))
		}
		wide := parts(8, "orders", 0, 0, 1, 2, 3, 4, 5, 6, 7) // one step of two batches
		for i := range wide.Topics[0].Partitions {
			wide.Topics[0].Partitions[i].Metadata = kmsg.StringPtr(strings.Repeat("x", 2000))
		}
		all = append(all, r.start(wide))
		r.pass(time.Second)
		for _, a := range all {
			if commitCode(a.response()) != 0 {
				t.Fatalf("%+v", a.response())
			}
		}
		records := 0
		for _, b := range r.logs[0].batches {
			h, err := batch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if records += int(h.NumRecords); len(b) > o.MaxBatch+batch.HeaderSize {
				t.Errorf("a batch of %d bytes", len(b))
			}
		}
		if records != 108 {
			t.Errorf("%d records", records)
		}
	})
}

// TestAppendFails: what waits is answered with NOT_COORDINATOR, and the journal is the truth again, whether the batch got there or not.
func TestAppendFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			inBubble(t, options(1), func(t *testing.T, r *rig) {
				r.ask(commit("g", "orders", 0, 1))
				r.logs[0].fault(func(n int) (time.Duration, bool, error) {
					if n == 2 {
						return time.Second, stored, errInjected
					}
					return 0, true, nil
				})
				first := r.start(commit("g", "orders", 0, 2))
				synctest.Wait() // it is being appended
				second, waits := r.start(commit("g", "orders", 0, 3)), r.start(fetchAllOf("g"))
				r.pass(2 * time.Second)
				if a, b := commitCode(first.response()), commitCode(second.response()); a != 16 || b != 16 {
					t.Fatalf("codes %d and %d, want NOT_COORDINATOR", a, b)
				}
				if code := waits.response().(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode; code != kerr.NotCoordinator.Code {
					t.Fatalf("fetch: code %d", code)
				}
				want := map[bool]int64{false: 1, true: 2}[stored]
				if got := r.committed("g")["orders"][0]; got != want {
					t.Fatalf("offset %d, want %d", got, want)
				}
			})
		})
	}
}

// TestLateAppendIsFenced: a batch that gets into the journal after its append has failed is read too, since nothing is read before a later
// one is committed.
func TestLateAppendIsFenced(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		l := r.logs[0]
		var late []byte
		l.fault(func(n int) (time.Duration, bool, error) {
			if n == 1 {
				return 0, false, errInjected
			}
			if late != nil {
				b := late
				late = nil
				l.put(b)
			}
			return 0, true, nil
		})
		o := outbox{maxBatch: 1 << 20}
		e := &journal.OffsetCommit{Group: "g", Topic: "orders", Value: &kmsg.OffsetCommitValue{Offset: 9, LeaderEpoch: -1, ExpireTimestamp: -1}}
		if err := o.write([]journal.Entry{e}, 1); err != nil {
			t.Fatal(err)
		}
		late, _ = o.next()
		if code := commitCode(r.ask(commit("g", "orders", 0, 9))); code != kerr.NotCoordinator.Code {
			t.Fatalf("code %d", code)
		}
		if got := r.committed("g")["orders"][0]; got != 9 {
			t.Fatalf("offset %d: the late batch was not waited for", got)
		}
	})
}

// TestWhileLoading: calls get COORDINATOR_LOAD_IN_PROGRESS, but for a heartbeat and a sync, in the form that old clients know.
func TestWhileLoading(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		r.c.Resign(0)
		failing := true
		r.logs[0].reads = func() error {
			if failing {
				return errInjected
			}
			return nil
		}
		r.c.Lead(0, r.logs[0])
		synctest.Wait()
		if code := commitCode(r.ask(commit("g", "orders", 0, 1))); code != kerr.CoordinatorLoadInProgress.Code {
			t.Errorf("commit: code %d", code)
		}
		if code := r.ask(heartbeat("g", "m", 1)).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
			t.Errorf("heartbeat: code %d", code)
		}
		if code := r.ask(&kmsg.SyncGroupRequest{Group: "g"}).(*kmsg.SyncGroupResponse).ErrorCode; code != kerr.RebalanceInProgress.Code {
			t.Errorf("sync: code %d", code)
		}
		if code := r.ask(&kmsg.ListGroupsRequest{}).(*kmsg.ListGroupsResponse).ErrorCode; code != kerr.CoordinatorLoadInProgress.Code {
			t.Errorf("list: code %d", code)
		}
		if s := r.c.States()[0]; s != Loading {
			t.Errorf("state %v", s)
		}
		r.logs[0].mu.Lock()
		failing = false
		r.logs[0].mu.Unlock()
		r.pass(10 * time.Second)
		if code := commitCode(r.ask(commit("g", "orders", 0, 1))); code != 0 {
			t.Errorf("commit when loaded: code %d", code)
		}
	})
}

// TestDamage: a journal that cannot be read is left alone, and says so.
func TestDamage(t *testing.T) {
	var out bytes.Buffer
	o := options(2)
	o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &out}, nil))
	inBubble(t, o, func(t *testing.T, r *rig) {
		r.ask(commit("order-processors", "orders", 0, 1)) // partition 0
		r.c.Resign(0)
		good := r.logs[0].batches[0]
		r.logs[0].batches[0] = bytes.Clone(good)
		r.logs[0].batches[0][batch.HeaderSize+8] ^= 1
		r.c.Lead(0, r.logs[0])
		r.pass(time.Minute)
		if s := r.c.States(); s[0] != Damaged || s[1] != Serving {
			t.Errorf("states %v", s)
		}
		if code := commitCode(r.ask(commit("order-processors", "orders", 0, 2))); code != kerr.NotCoordinator.Code {
			t.Errorf("code %d", code)
		}
		if n := strings.Count(out.String(), "the journal is damaged"); n < 1 || strings.Count(out.String(), "level=ERROR") != 1 {
			t.Errorf("logged:\n%s", out.String())
		}
		r.logs[0].batches[0] = good
		r.c.Lead(0, r.logs[0]) // somebody has looked
		synctest.Wait()
		if got := r.committed("order-processors")["orders"][0]; got != 1 {
			t.Errorf("offset %d", got)
		}
	})
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// TestUnknownRecordsAreSkipped: with one line for each type, not for each record.
func TestUnknownRecordsAreSkipped(t *testing.T) {
	var out bytes.Buffer
	o := options(1)
	o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &out}, nil))
	inBubble(t, o, func(t *testing.T, r *rig) {
		r.ask(commit("g", "orders", 0, 1))
		r.c.Resign(0)
		var records []batch.Record
		for i := range 20 {
			records = append(records, batch.Record{Key: []byte{0, byte(100 + i%2), 1, 2}, Value: []byte{1}})
		}
		b, err := (&batch.Builder{}).Build(records)
		if err != nil {
			t.Fatal(err)
		}
		r.logs[0].put(b)
		r.c.Lead(0, r.logs[0])
		synctest.Wait()
		if got := r.committed("g")["orders"][0]; got != 1 {
			t.Errorf("offset %d", got)
		}
		if n := strings.Count(out.String(), "are skipped"); n != 2 {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}

// TestResign: every call is answered once, and afterwards nothing is appended.
func TestResign(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		id, generation := r.member("g")
		r.logs[0].fault(slow(time.Hour)) // until ctx ends
		other := r.ask(join("h", "")).(*kmsg.JoinGroupResponse).MemberID
		all := []*asked{
			r.start(join("g", "")), // MEMBER_ID_REQUIRED, not held up by anything
			r.start(commit("h", "orders", 0, 1)),
			r.start(join("h", other)),
			r.start(heartbeat("g", id, generation)),
			r.start(fetchAllOf("g", "h")),
			r.start(&kmsg.ListGroupsRequest{}),
		}
		synctest.Wait()
		for _, a := range all[1:] {
			if a.response() != nil {
				t.Fatalf("%T is answered: %+v", a.req, a.response())
			}
		}
		for range 50 {
			all = append(all, r.start(commit("h", "orders", 1, 1)))
		}
		r.c.Resign(0)
		appends := r.logs[0].appends
		synctest.Wait()
		for _, a := range all {
			if a.response() == nil {
				t.Errorf("%T is not answered", a.req)
			}
		}
		for _, a := range all[6:] {
			if code := commitCode(a.response()); code != kerr.NotCoordinator.Code {
				t.Errorf("commit: code %d", code)
			}
		}
		r.pass(2 * time.Hour)
		if r.logs[0].appends != appends {
			t.Error("appended after Resign")
		}
	})
}

// TestResignWhileMembersWait: a join that waits for others is answered too.
func TestResignWhileMembersWait(t *testing.T) {
	o := options(1)
	o.Classic.InitialDelay = time.Minute
	inBubble(t, o, func(t *testing.T, r *rig) {
		id := r.ask(join("g", "")).(*kmsg.JoinGroupResponse).MemberID
		waits := r.start(join("g", id))
		r.pass(time.Second)
		if waits.response() != nil {
			t.Fatalf("%+v", waits.response())
		}
		r.c.Resign(0)
		if got := waits.response(); got == nil || got.(*kmsg.JoinGroupResponse).ErrorCode != kerr.NotCoordinator.Code {
			t.Fatalf("%+v", got)
		}
	})
}

// TestHandedOver: a member's generation and offsets are the same with the next coordinator, and its session begins anew.
func TestHandedOver(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		id, generation := r.member("g")
		r.ask(commit("simple", "orders", 4, 44))
		r.pass(9 * time.Second)
		r.c.Lead(0, r.logs[0])
		r.pass(9 * time.Second)
		if code := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
			t.Errorf("heartbeat: code %d", code)
		}
		if got := r.committed("simple"); got["orders"][4] != 44 {
			t.Errorf("offsets %v", got)
		}
	})
}

// TestQueueIsBounded: calls beyond it are sent away, and its memory is given back.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	q.become(Serving)
	rig := &rig{t: t}
	big := commit("g", "orders", 0, 1)
	big.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 1<<20))
	n := 0
	for ; n < 10*MaxQueued; n++ {
		if q.push(stepCall(rig, big)) != nil {
			break
		}
	}
	if n != MaxQueuedBytes>>20-1 {
		t.Errorf("%d calls of a MiB are let in", n)
	}
	for ok := true; ok; {
		_, ok = q.pop()
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are held by nothing", q.bytes)
	}
	for n = 0; n < 10*MaxQueued; n++ {
		if q.push(stepCall(rig, heartbeat("g", "m", 1))) != nil {
			break
		}
	}
	if n != MaxQueued {
		t.Errorf("%d small calls are let in, want %d", n, MaxQueued)
	}
}

// TestGroupTooLargeForTheJournal: one whose members describe themselves with more than a batch holds is dissolved, with all that wait in it, and its
// offsets stay.
func TestGroupTooLargeForTheJournal(t *testing.T) {
	o := options(1)
	o.MaxBatch = 16 << 10
	inBubble(t, o, func(t *testing.T, r *rig) {
		r.ask(commit("g", "orders", 0, 3))
		big := func(id string) *kmsg.JoinGroupRequest {
			req := join("g", id)
			req.Protocols[0].Metadata = append(req.Protocols[0].Metadata, make([]byte, 7<<10)...)
			return req
		}
		a := r.ask(join("g", "")).(*kmsg.JoinGroupResponse).MemberID
		b := r.ask(join("g", "")).(*kmsg.JoinGroupResponse).MemberID
		r.ask(big(a))
		second := r.start(big(b))
		synctest.Wait()
		joined := r.ask(big(a)).(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 || len(joined.Members) != 2 || second.response() == nil {
			t.Fatalf("%+v", joined)
		}
		followers := r.start(assign(b, joined.Generation, nil))
		if code := r.ask(assign(a, joined.Generation, map[string]int{a: 1 << 10, b: 1 << 10})).(*kmsg.SyncGroupResponse).ErrorCode; code != -1 {
			t.Errorf("sync: code %d", code)
		}
		if got := followers.response(); got == nil || got.(*kmsg.SyncGroupResponse).ErrorCode != -1 {
			t.Errorf("the other's sync: %+v", got)
		}
		for _, id := range []string{a, b} {
			if code := r.ask(heartbeat("g", id, joined.Generation)).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.UnknownMemberID.Code {
				t.Errorf("heartbeat: code %d", code)
			}
		}
		huge := join("g", "")
		huge.Protocols[0].Metadata = make([]byte, 9<<10)
		if code := r.ask(huge).(*kmsg.JoinGroupResponse).ErrorCode; code != -1 {
			t.Errorf("a join of more than half a batch: code %d", code)
		}
		id, generation := r.member("g") // it can begin anew
		for range 2 {
			if got := r.committed("g")["orders"][0]; got != 3 {
				t.Errorf("offset %d", got)
			}
			if code := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
				t.Errorf("heartbeat: code %d", code)
			}
			r.c.Lead(0, r.logs[0])
			synctest.Wait()
		}
	})
}

// assign is a sync, with assignments of so many bytes.
func assign(member string, generation int32, sizes map[string]int) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 5, "g", member, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for id, n := range sizes {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: make([]byte, n)})
	}
	return req
}

// TestCloseIsBounded: it ends with its context, even if an append never returns.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t}
		r.setTopics(topic("orders", 1, 8))
		stuck := &stuckLog{free: make(chan struct{})}
		o := options(1)
		o.Topics = r.topicsNow
		r.c = New(o)
		r.c.Lead(0, stuck)
		synctest.Wait()
		a := r.start(commit("g", "orders", 0, 1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.c.Close(ctx); err == nil {
			t.Error("closed while an append is under way")
		}
		close(stuck.free)
		synctest.Wait()
		if a.response() == nil {
			t.Error("not answered")
		}
	})
}

// stuckLog appends nothing until it is free, whatever its context says.
type stuckLog struct {
	memoryLog
	free chan struct{}
}

func (l *stuckLog) Append(context.Context, []byte) error { <-l.free; return nil }
