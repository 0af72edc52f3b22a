package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// vote is what one group must never forget, whatever happens to its log.
type vote struct {
	term      uint64 // Raft's current term
	voteTerm  uint64 // the term in which it voted last
	candidate string // and for whom
	// bootstrapped: the group has had a log. A replica with this mark and without that log must not vote.
	bootstrapped bool
	// joins: the group's log was given up on purpose, or was never founded here: whatever comes, this server founds no group of the id.
	joins bool
}

// A vote record: version, flags, term, vote term, candidate, CRC-32C of what precedes; big-endian. Its key is the topic id
// and the partition number.
const (
	voteVersion  = 1
	voteFixed    = 1 + 1 + 8 + 8 + 2
	maxCandidate = 1 << 10

	voteBootstrapped = 1 // flags
	voteJoins        = 2
)

var (
	voteBucket = []byte("votes")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errVote    = errors.New("bad vote record")
)

func voteKey(id GroupID) []byte {
	return binary.BigEndian.AppendUint32(id.Topic[:len(id.Topic):len(id.Topic)], uint32(id.Partition))
}

func (v *vote) encode() []byte {
	b := make([]byte, 0, voteFixed+len(v.candidate)+4)
	flags := byte(0)
	if v.bootstrapped {
		flags |= voteBootstrapped
	}
	if v.joins {
		flags |= voteJoins
	}
	b = append(b, voteVersion, flags)
	b = binary.BigEndian.AppendUint64(b, v.term)
	b = binary.BigEndian.AppendUint64(b, v.voteTerm)
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.candidate)))
	b = append(b, v.candidate...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeVote(key, b []byte) (id GroupID, v vote, err error) {
	if len(key) != len(id.Topic)+4 || len(b) < voteFixed+4 {
		return id, v, fmt.Errorf("%w: key of %d bytes, value of %d", errVote, len(key), len(b))
	}
	copy(id.Topic[:], key)
	id.Partition = int32(binary.BigEndian.Uint32(key[len(id.Topic):]))
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return id, v, fmt.Errorf("%w of %x-%d: checksum %08x, want %08x", errVote, id.Topic, id.Partition, got, sum)
	}
	n := int(binary.BigEndian.Uint16(b[voteFixed-2:]))
	if b[0] != voteVersion || b[1] > voteBootstrapped|voteJoins || len(body) != voteFixed+n {
		return id, v, fmt.Errorf("%w of %x-%d: version %d, flags %d, candidate of %d bytes", errVote, id.Topic, id.Partition, b[0], b[1], n)
	}
	v.bootstrapped, v.joins = b[1]&voteBootstrapped != 0, b[1]&voteJoins != 0
	v.term, v.voteTerm = binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])
	v.candidate = string(body[voteFixed:])
	return id, v, nil
}

// votes keeps the votes of all groups of a broker in one file. All of them are in memory too, so reads touch no disk.
//
// What always holds: durable is what the file holds after its last successful commit. While busy, exactly one goroutine
// commits: the one whose write found nobody at it, or that the goroutine before it appointed. Everybody who arrives meanwhile
// shares the next commit, so that a thousand groups electing at once cost a few commits, and a lone write waits for nobody.
type votes struct {
	db *bbolt.DB

	mu      sync.Mutex // guards what follows; never held during I/O
	durable map[GroupID]vote
	waiting []*voteWrite
	busy    bool
	commits int // how many there were
}

// voteWrite is one change under way. change is nil for a removal.
type voteWrite struct {
	id     GroupID
	change func(*vote)
	err    error
	turn   chan bool // true: commit what waits; false: it is done, see err
}

// openVotes opens or makes the file, which a running broker has locked.
func openVotes(name string) (*votes, error) {
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	if err != nil {
		return nil, fmt.Errorf("votes file %s: %w", name, err)
	}
	v := &votes{db: db, durable: make(map[GroupID]vote)}
	if err := v.load(); err != nil {
		return nil, fmt.Errorf("votes file %s: %w", name, errors.Join(err, db.Close()))
	}
	return v, nil
}

func (v *votes) load() error {
	bucket := func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(voteBucket)
		return err
	}
	if err := v.db.Update(bucket); err != nil {
		return err
	}
	return v.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(voteBucket).ForEach(func(key, value []byte) error {
			id, vo, err := decodeVote(key, value)
			v.durable[id] = vo
			return err
		})
	})
}

func (v *votes) close() error { return v.db.Close() }

// get is a group's vote; known is false when it has none.
func (v *votes) get(id GroupID) (vo vote, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	vo, known = v.durable[id]
	return vo, known
}

// update changes a group's vote and returns when that is durable. What is so already is not written again.
func (v *votes) update(id GroupID, change func(*vote)) error {
	v.mu.Lock()
	old := v.durable[id]
	changed := old
	change(&changed)
	if changed == old {
		v.mu.Unlock()
		return nil
	}
	return v.join(&voteWrite{id: id, change: change, turn: make(chan bool, 1)})
}

// drop forgets a group's vote.
func (v *votes) drop(id GroupID) error {
	v.mu.Lock()
	return v.join(&voteWrite{id: id, turn: make(chan bool, 1)})
}

// join adds w to the next commit and waits for it, or does it. v.mu is held, and let go.
func (v *votes) join(w *voteWrite) error {
	v.waiting = append(v.waiting, w)
	if v.busy {
		v.mu.Unlock()
		if !<-w.turn {
			return w.err
		}
		v.mu.Lock()
	}
	v.busy = true
	writes := v.waiting
	v.waiting = nil
	v.commits++
	v.mu.Unlock()

	err := v.commit(writes)

	v.mu.Lock()
	if v.busy = len(v.waiting) > 0; v.busy {
		v.waiting[0].turn <- true
	}
	v.mu.Unlock()
	for _, o := range writes {
		if o != w {
			o.err = err
			o.turn <- false
		}
	}
	return err
}

// commit makes writes durable in one transaction.
func (v *votes) commit(writes []*voteWrite) error {
	next := make(map[GroupID]vote, len(writes))
	v.mu.Lock()
	for _, w := range writes {
		next[w.id] = v.durable[w.id]
	}
	v.mu.Unlock()
	for _, w := range writes {
		vo := vote{}
		if w.change != nil {
			vo = next[w.id]
			w.change(&vo)
		}
		next[w.id] = vo
	}
	err := v.db.Update(func(tx *bbolt.Tx) error { return putVotes(tx.Bucket(voteBucket), next) })
	if err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, vo := range next {
		v.durable[id] = vo
		if vo == (vote{}) {
			delete(v.durable, id)
		}
	}
	return nil
}

func putVotes(b *bbolt.Bucket, next map[GroupID]vote) error {
	for id, vo := range next {
		err := error(nil)
		switch {
		case vo == (vote{}):
			err = b.Delete(voteKey(id))
		case len(vo.candidate) > maxCandidate:
			err = fmt.Errorf("candidate of %d bytes, at most %d", len(vo.candidate), maxCandidate)
		default:
			err = b.Put(voteKey(id), vo.encode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
