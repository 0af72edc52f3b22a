package consumergroup

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A heartbeat is answered by the time that Handle returns, unless what it tells is not committed yet, or another call was first.
func TestHeartbeatsAtOnce(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		id, generation := r.member("g")
		synctest.Wait()
		code := func(a *asked) int16 { return a.response().(*kmsg.HeartbeatResponse).ErrorCode }
		if a := r.start(heartbeat("g", id, generation)); a.response() == nil || code(a) != 0 {
			t.Fatalf("idle: %+v", a.response())
		}
		if a := r.start(heartbeat("g", id, generation+1)); a.response() == nil || code(a) != kerr.IllegalGeneration.Code {
			t.Fatalf("wrong generation: %+v", a.response())
		}
		r.logs[0].fault(slow(time.Second))
		r.start(commit("other", "orders", 0, 2))
		synctest.Wait()
		late := r.start(heartbeat("g", id, generation))
		if late.response() != nil {
			t.Fatal("answered while what was written before is not committed")
		}
		r.pass(2 * time.Second)
		if late.response() == nil || code(late) != 0 {
			t.Fatalf("after the commit: %+v", late.response())
		}
	})
}

// A session that a heartbeat puts off by a step on the caller's goroutine ends when it should, and no sooner.
func TestHeartbeatsAtOncePutSessionsOff(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		id, generation := r.member("g") // 10 s
		for range 5 {
			r.pass(8 * time.Second)
			if a := r.start(heartbeat("g", id, generation)); a.response() == nil || a.response().(*kmsg.HeartbeatResponse).ErrorCode != 0 {
				t.Fatalf("%+v", a.response())
			}
		}
		r.pass(11 * time.Second)
		if got := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; got != kerr.UnknownMemberID.Code {
			t.Fatalf("after the session: code %d", got)
		}
	})
}

// A coordinator that another may have followed answers nothing out of its memory, neither at once nor from the queue.
func TestNothingIsAnsweredWithoutALease(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		id, generation := r.member("g")
		r.ask(commit("g", "orders", 0, 1))
		r.logs[0].deposed.Store(true)
		if got := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; got != kerr.NotCoordinator.Code {
			t.Errorf("heartbeat: code %d", got)
		}
		if got := r.ask(fetchAllOf("g")).(*kmsg.OffsetFetchResponse).Groups[0]; got.ErrorCode != kerr.NotCoordinator.Code || len(got.Topics) > 0 {
			t.Errorf("fetch: %+v", got)
		}
		r.logs[0].deposed.Store(false)
		if got := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; got != 0 {
			t.Errorf("heartbeat once it leads again: code %d", got)
		}
	})
}
