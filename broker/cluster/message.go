package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what brokers tell each other.
const (
	maxReports = 100_000 // groups that one broker tells of
	maxInSync  = 16      // replicas in sync of one group
	maxReason  = 256     // bytes of why a replica is fenced
	maxAsked   = 2_000   // groups in one call of an elector
)

// report is what a broker tells of one group. One that neither leads nor is fenced takes back what was told before.
type report struct {
	id     ID
	leads  bool
	serves bool // only if it leads
	term   uint64
	inSync []int32 // broker ids, in order
	fenced string  // why; "": it is not
}

func (r *report) blank() bool { return !r.leads && r.fenced == "" }

func (r *report) equal(o *report) bool {
	return r.leads == o.leads && r.serves == o.serves && r.term == o.term && r.fenced == o.fenced && slices.Equal(r.inSync, o.inSync)
}

// message is what one broker tells another. A full one replaces all that was told before; another follows the message before it.
type message struct {
	full    bool
	boot    uint64 // names the telling process: of another there may be a full message only
	seq     uint64 // counts that process's messages to this broker
	reports []report
}

const (
	messageVersion = 1

	flagFull = 1 << 0

	flagLeads  = 1 << 0
	flagServes = 1 << 1
	flagFenced = 1 << 2
)

// What a message is answered with.
var (
	replyTaken = []byte{0}
	replyAgain = []byte{1} // something is missing: send a full one
)

var errMessage = errors.New("malformed call from a broker")

func appendID(b []byte, id ID) []byte {
	return binary.BigEndian.AppendUint32(append(b, id.Topic[:]...), uint32(id.Partition))
}

func (m *message) encode() []byte {
	b := make([]byte, 0, 32+48*len(m.reports))
	var flags byte
	if m.full {
		flags = flagFull
	}
	b = append(b, messageVersion, flags)
	b = binary.BigEndian.AppendUint64(b, m.boot)
	b = binary.BigEndian.AppendUint64(b, m.seq)
	b = binary.AppendUvarint(b, uint64(len(m.reports)))
	for i := range m.reports {
		b = m.reports[i].append(b)
	}
	return b
}

func (r *report) append(b []byte) []byte {
	var flags byte
	if r.leads {
		flags |= flagLeads
	}
	if r.serves {
		flags |= flagServes
	}
	if r.fenced != "" {
		flags |= flagFenced
	}
	b = append(appendID(b, r.id), flags)
	if r.leads {
		b = binary.AppendUvarint(b, r.term)
		inSync := r.inSync[:min(len(r.inSync), maxInSync)]
		b = append(b, byte(len(inSync)))
		for _, n := range inSync {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
	}
	if r.fenced != "" {
		b = append(binary.AppendUvarint(b, uint64(len(r.fenced))), r.fenced...)
	}
	return b
}

// reader takes a body apart. After the first fault it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a number up to limit.
func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items of at least size bytes follow, and believes no more than there is room for.
func (r *reader) count(limit, size int) int {
	n := int(r.uvarint(uint64(limit)))
	if n > len(r.b)/size {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) id() ID {
	id := ID{Topic: [16]byte(append(make([]byte, 0, 16), r.fixed()...))}
	id.Partition = int32(r.uint32())
	return id
}

func (r *reader) fixed() []byte {
	if b := r.take(16); b != nil {
		return b
	}
	return make([]byte, 16)
}

// end is the error of what was read.
func (r *reader) end(what string) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: %s", errMessage, what)
	}
	return nil
}

func decodeMessage(b []byte) (message, error) {
	r := reader{b: b}
	version, flags := r.byte(), r.byte()
	if version != messageVersion || flags&^flagFull != 0 {
		return message{}, fmt.Errorf("%w: gossip of version %d, flags %#x; known is version %d", errMessage, version, flags, messageVersion)
	}
	m := message{full: flags&flagFull != 0, boot: r.uint64(), seq: r.uint64()}
	m.reports = make([]report, r.count(maxReports, 21))
	for i := range m.reports {
		m.reports[i] = r.report()
		if r.bad {
			break
		}
	}
	return m, r.end("gossip")
}

func (r *reader) report() report {
	p := report{id: r.id()}
	flags := r.byte()
	p.leads, p.serves = flags&flagLeads != 0, flags&flagServes != 0
	if p.leads {
		p.term = r.uvarint(math.MaxInt32) // a leader epoch
		p.inSync = make([]int32, r.count(maxInSync, 4))
		for i := range p.inSync {
			p.inSync[i] = int32(r.uint32())
		}
	}
	if flags&flagFenced != 0 {
		p.fenced = string(r.take(int(r.uvarint(maxReason))))
		r.bad = r.bad || p.fenced == "" || !utf8.ValidString(p.fenced)
	}
	r.bad = r.bad || flags&^(flagLeads|flagServes|flagFenced) != 0 || p.serves && !p.leads || p.fenced != "" && p.leads
	return p
}

// reason cuts why a replica is fenced down to what is told.
func reason(s string) string {
	if s == "" {
		return "unknown"
	}
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "")
}
