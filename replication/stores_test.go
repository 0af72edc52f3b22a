package replication

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

func TestVotesSurviveAndMissAsRaftWantsIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "votes.db")
	v, err := openVotes(name)
	must(t, err)
	s := stableStore{v, testGroup}
	for _, key := range []string{keyCurrentTerm, keyLastVoteTerm} {
		if _, err := s.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
			t.Fatalf("%s: %v, want exactly: not found", key, err)
		}
	}
	if _, err := s.Get([]byte(keyLastVoteCand)); err == nil || err.Error() != "not found" {
		t.Fatalf("%v, want exactly: not found", err)
	}
	must(t, s.SetUint64([]byte(keyCurrentTerm), 7))
	must(t, s.SetUint64([]byte(keyLastVoteTerm), 6))
	must(t, s.Set([]byte(keyLastVoteCand), []byte("2-b")))
	commits := v.commits
	must(t, s.SetUint64([]byte(keyCurrentTerm), 7))
	must(t, s.Set([]byte(keyLastVoteCand), []byte("2-b")))
	if v.commits != commits {
		t.Fatalf("%d commits for unchanged values", v.commits-commits)
	}
	if s.Set([]byte("other"), nil) == nil || s.SetUint64([]byte("other"), 1) == nil {
		t.Fatal("an unknown key was taken")
	}
	must(t, v.close())

	v, err = openVotes(name)
	must(t, err)
	defer v.close()
	if got, _ := v.get(testGroup); got != (vote{term: 7, voteTerm: 6, candidate: "2-b"}) {
		t.Fatalf("found %+v", got)
	}
	must(t, v.drop(testGroup))
	if _, known := v.get(testGroup); known {
		t.Fatal("known after drop")
	}
}

func TestVotesOfConcurrentGroups(t *testing.T) {
	v, err := openVotes(filepath.Join(t.TempDir(), "votes.db"))
	must(t, err)
	defer v.close()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			s := stableStore{v, GroupID{Partition: int32(i)}}
			for term := range uint64(5) {
				if err := s.SetUint64([]byte(keyCurrentTerm), term+1); err != nil {
					t.Error(err)
				}
				if got, err := s.GetUint64([]byte(keyCurrentTerm)); err != nil || got != term+1 {
					t.Errorf("group %d: term %d, %v, want %d", i, got, err, term+1)
				}
			}
		})
	}
	wg.Wait()
}

// Whatever waits while a commit is under way shares the next one: fifty writes of fifty groups are one more.
func TestWaitingVotesShareACommit(t *testing.T) {
	const groups = 50
	name := filepath.Join(t.TempDir(), "votes.db")
	v, err := openVotes(name)
	must(t, err)
	v.mu.Lock()
	v.busy = true // as if somebody committed
	before := v.commits
	v.mu.Unlock()
	var wg sync.WaitGroup
	for i := range groups {
		wg.Go(func() {
			if err := (stableStore{v, GroupID{Partition: int32(i)}}).SetUint64([]byte(keyCurrentTerm), 3); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all writes wait", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.waiting) == groups
	})
	v.mu.Lock()
	v.waiting[0].turn <- true // as who has committed does
	v.mu.Unlock()
	wg.Wait()
	if n := v.commits - before; n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	must(t, v.close())
	v, err = openVotes(name)
	must(t, err)
	defer v.close()
	for i := range groups {
		if got, _ := v.get(GroupID{Partition: int32(i)}); got.term != 3 {
			t.Errorf("group %d: found %+v", i, got)
		}
	}
}

var goldenVote = vote{term: 3, voteTerm: 2, candidate: "1-a", bootstrapped: true}

const goldenVoteHex = "0101000000000000000300000000000000020003312d61"

func TestVoteFormat(t *testing.T) {
	b := goldenVote.encode()
	if got := hex.EncodeToString(b[:len(b)-4]); got != goldenVoteHex {
		t.Fatalf("encoded as %s, want %s", got, goldenVoteHex)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, _, err := decodeVote(voteKey(testGroup), bad); !errors.Is(err, errVote) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func FuzzDecodeVote(f *testing.F) {
	f.Add(voteKey(testGroup), goldenVote.encode())
	f.Fuzz(func(t *testing.T, key, b []byte) { checkVote(t, key, b) })
}

func checkVote(t testing.TB, key, b []byte) {
	id, v, err := decodeVote(key, b)
	if err == nil && (!bytes.Equal(v.encode(), b) || !bytes.Equal(voteKey(id), key)) {
		t.Fatalf("%x %x decodes as %v %+v", key, b, id, v)
	}
}

func TestCheckpointStateFormat(t *testing.T) {
	s := checkpointState{configIndex: 9, config: bootstrapConfiguration([]ServerID{"2-b", "1-a"}), machine: []byte("state")}
	b := s.encode()
	got, err := decodeState(b)
	must(t, err)
	if got.configIndex != 9 || string(got.machine) != "state" || len(got.config.Servers) != 2 || got.config.Servers[0].ID != "1-a" {
		t.Fatalf("decoded %+v", got)
	}
	for n := range stateFixed + 1 {
		if _, err := decodeState(b[:n]); !errors.Is(err, errState) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	s := checkpointState{configIndex: 9, config: bootstrapConfiguration([]ServerID{"1-a"}), machine: []byte("state")}
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) { checkState(t, b) })
}

func checkState(t testing.TB, b []byte) {
	if s, err := decodeState(b); err == nil && len(s.machine) > len(b) {
		t.Fatal("more state than bytes")
	}
}

// Points 1 and 3: what the library relies on.
func TestLogStore(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	s.produce(newBatch(t, 1, 1, 200), newBatch(t, 2, 1, 200))
	store := &s.group.store
	if _, ok := any(store).(raft.MonotonicLogStore); ok {
		t.Fatal("it must not be a MonotonicLogStore")
	}
	last, err := store.LastIndex()
	must(t, err)
	var l raft.Log
	for _, i := range []uint64{0, last + 1} {
		if err := store.GetLog(i, &l); err != raft.ErrLogNotFound {
			t.Fatalf("entry %d: %v, want exactly raft.ErrLogNotFound", i, err)
		}
	}
	must(t, store.GetLog(last, &l))
	if l.Index != last || l.Type != raft.LogCommand || len(l.Data) < 200 {
		t.Fatalf("entry %d is %v with %d bytes", last, l.Type, len(l.Data))
	}
	must(t, store.GetLog(1, &l))
	if l.Type != raft.LogConfiguration {
		t.Fatalf("entry 1 is %v", l.Type)
	}
	if err := store.DeleteRange(1, last-1); err == nil {
		t.Fatal("a prefix was removed")
	}
	if err := store.DeleteRange(last, last); err == nil {
		t.Fatal("a committed entry was removed")
	}

	must(t, s.group.Checkpoint())
	list, err := s.group.snapshots.List()
	must(t, err)
	if len(list) != 1 || list[0].Index != last || list[0].Term != uint64(s.machine.epoch) || len(list[0].Configuration.Servers) != 1 {
		t.Fatalf("listed %+v", list)
	}
	s.below.Store(last) // entries below the checkpoint are gone
	if err := store.GetLog(last-2, &l); err != raft.ErrLogNotFound {
		t.Fatalf("got %v, want exactly raft.ErrLogNotFound", err)
	}
	s.below.Store(last + 1) // and that of the checkpoint too: index and term are still known
	empty := logStore{g: s.group, log: gone{store.log}, tail: tail{cache: &s.node.cache}}
	l = raft.Log{}
	must(t, empty.GetLog(last, &l))
	if l.Index != last || l.Term != uint64(s.machine.epoch) {
		t.Fatalf("stub %+v", l)
	}
}

// gone is a log of which nothing but the checkpoint is left.
type gone struct{ entryLog }

func (g gone) ReadEntry(segment.Index, bool) (segment.Entry, error) {
	return segment.Entry{}, segment.ErrNotFound
}

func TestTailCache(t *testing.T) {
	c := &tailCache{limit: 10 * 1128}
	a, b := &tail{cache: c}, &tail{cache: c}
	entry := func(i segment.Index, frame int) segment.Entry {
		return segment.Entry{Index: i, Term: 1, Data: make([]byte, 1000, frame)}
	}
	for i := segment.Index(1); i <= 8; i++ {
		a.put([]segment.Entry{entry(i, 1000)}, []int{1000})
	}
	b.put([]segment.Entry{entry(1, 1000), entry(2, 1000), entry(3, 1000)}, []int{1000, 1000, 1000})
	if _, ok := a.get(1); ok || c.bytes != 10*1128 {
		t.Fatalf("over the limit, with %d bytes", c.bytes)
	}
	a.truncateAfter(6)
	if _, ok := a.get(7); ok {
		t.Fatal("truncated entry is there")
	}
	e, ok := a.get(6)
	if !ok {
		t.Fatal("entry 6 is gone")
	}
	a.put([]segment.Entry{entry(20, 1000)}, []int{1000}) // after a while alone
	if _, ok := a.get(6); ok {
		t.Fatal("entry before a gap is there")
	}
	if e, ok = a.get(20); !ok || e.Index != 20 {
		t.Fatalf("entry 20: %v", ok)
	}
	for i := segment.Index(21); i < 1000; i++ {
		a.put([]segment.Entry{entry(i, 1000)}, []int{1000})
		if _, ok := a.get(i); !ok || c.bytes > c.limit {
			t.Fatalf("entry %d: %v, %d bytes", i, ok, c.bytes)
		}
	}
	a.truncateAfter(0)
	b.truncateAfter(0)
	if c.bytes != 0 {
		t.Fatalf("%d bytes in an empty cache", c.bytes)
	}
}

// Point 4: what lies in the cache keeps no more than four times its size alive, wherever in its frame it lies, and is counted with that.
func TestTailCacheCopiesSmallBatches(t *testing.T) {
	const k = 1 << 10
	for _, c := range []struct {
		name        string
		frame, at   int // where the batch begins in its buffer
		size, known int // known: the frame's size as the transport tells it, 0 for a client's
		copied      bool
		cost        int64
	}{
		{"a quarter of its frame", 400 * k, 0, 100 * k, 400 * k, false, 400 * k},
		{"less", 400 * k, 0, 99 * k, 400 * k, true, 99 * k},
		{"less, at its end", 400 * k, 301 * k, 99 * k, 400 * k, true, 99 * k},
		{"the whole", 100 * k, 0, 100 * k, 100 * k, false, 100 * k},
		{"a small one that is the whole", k, 0, k, k, false, k},
		{"a small one of a client", k, 0, k, 0, true, k},
		{"a large one of a client", 200 * k, 100 * k, 100 * k, 0, false, 100 * k},
		{"a large one in a much larger frame of a client", 500 * k, 0, 100 * k, 0, true, 100 * k},
	} {
		cache := &tailCache{limit: 1 << 30}
		in := tail{cache: cache}
		data := make([]byte, c.frame)[c.at : c.at+c.size]
		in.put([]segment.Entry{{Index: 1, Term: 1, Data: data}}, []int{c.known})
		e, ok := in.get(1)
		if copied := &e.Data[0] != &data[0]; !ok || copied != c.copied || len(e.Data) != c.size {
			t.Errorf("%s: copied is %v, %d bytes", c.name, copied, len(e.Data))
		}
		if cache.bytes != c.cost+entryCost {
			t.Errorf("%s: counts for %d bytes, want %d", c.name, cache.bytes-entryCost, c.cost)
		}
	}
}

// Groups of one voter keep nothing in the cache.
func TestLoneVoterCachesNothing(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	s.produce(newBatch(t, 1, 1, 200))
	if s.node.cache.bytes != 0 {
		t.Fatalf("%d bytes cached", s.node.cache.bytes)
	}
}

func TestProposalsKeepOrder(t *testing.T) {
	var q proposals
	var failed []int
	datas := make([][]byte, 1000)
	next := 0
	for i := range datas {
		datas[i] = []byte{byte(i)}
		must(t, q.push(proposal{data: datas[i], failed: func(error) { failed = append(failed, i) }}))
		if i%3 == 2 { // two are answered for every three pushed
			for range 2 {
				if _, mine, refused := q.committed(datas[next]); !mine || len(refused) > 0 {
					t.Fatalf("proposal %d: %v, %d refused", next, mine, len(refused))
				}
				next++
			}
		}
	}
	if _, mine, _ := q.committed([]byte{0}); mine {
		t.Fatal("a slice that was not proposed was found")
	}
	if _, mine, refused := q.committed(datas[next+2]); !mine || len(refused) != 2 {
		t.Fatalf("two passed over: %v, %d refused", mine, len(refused))
	}
	left := q.shut(ErrNotLeader)
	if len(left) != len(datas)-next-3 || q.push(proposal{}) != ErrNotLeader {
		t.Fatalf("%d left, want %d", len(left), len(datas)-next-3)
	}
	q.shut(ErrClosed)
	q.open()
	if q.push(proposal{}) != ErrClosed {
		t.Fatal("opened after it was closed for good")
	}
}

// A batch that the disk has changed is told of when it is read for a follower, and a follower that is sent it refuses it. The only voter has
// nobody to copy from, and is not told.
func TestDamagedEntry(t *testing.T) {
	told := make(chan error, 100)
	c := newCluster(t)
	for _, s := range c.servers {
		s.broken = func(err error) { told <- err }
	}
	c.start()
	c.agree(c.produce(3))
	lead := c.leader()
	lead.group.store.tail.truncateAfter(0)
	damageLast(t, lead)
	var l raft.Log
	last := uint64(lead.group.Status().LastIndex)
	must(t, lead.group.store.GetLog(last, &l))
	if err := <-told; !errors.Is(err, segment.ErrDamaged) {
		t.Fatalf("told %v", err)
	}
	l.Index++
	if err := c.others(lead)[0].group.store.StoreLog(&l); !errors.Is(err, batch.ErrCorrupt) {
		t.Fatalf("a follower stores it: %v", err)
	}

	alone := newServer(t, "1-a", "1-a")
	alone.broken = func(err error) { t.Errorf("the only voter is told: %v", err) }
	alone.start().awaitLead().produce(newBatch(t, 1, 2, 50))
	damageLast(t, alone)
	must(t, alone.group.store.GetLog(uint64(alone.group.Status().LastIndex), &l))
}

// damageLast flips a bit of the last batch's records on disk.
func damageLast(t *testing.T, s *server) {
	t.Helper()
	name := filepath.Join(s.dir, fmt.Sprintf("%020d.log", 0))
	b, err := os.ReadFile(name)
	must(t, err)
	b[len(b)-3] ^= 1
	must(t, os.WriteFile(name, b, 0o600))
}
