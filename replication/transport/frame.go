package transport

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// A frame is the length of what follows (4 bytes), its kind (1), and what the kind says. All numbers are big-endian.
//
//	append   to the acceptor, on a data connection: head, count (4), for each entry term (8), type (1) and length (4), then
//	         the entries' data one after the other. Their indexes follow on the head's previous one.
//	beats    to the acceptor, on a control connection: appends without entries, as heads one after the other
//	answers  to the dialer: what became of appends, one after the other: number (4), code (1), term (8), last index (8)
//	request  to the acceptor, on a control connection: number (4), what (1), group (20), body
//	reply    to the dialer: number (4), code (1), body, or the reason of a failure
//	ping     to the acceptor, who answers with pong; both are empty
//	pulse    to the acceptor, on a control connection, who answers with pulsed; see bulletin.go
//	call     to the acceptor, on a control or bulk connection: number (4), method (1), milliseconds that the caller waits (4), body;
//	         answered with a reply
//	probe    on a probe connection, first to the acceptor and then to the dialer: the question, the answer
const (
	kindAppend byte = iota + 1
	kindBeats
	kindAnswers
	kindRequest
	kindReply
	kindPing
	kindPong
	kindCall
	kindProbe
	kindPulse
	kindPulsed
)

const (
	frameHead   = 4 + 1
	headLen     = 20 + 4 + 4*8
	entryLen    = 8 + 1 + 4
	answerLen   = 4 + 1 + 8 + 8
	requestHead = 4 + 1 + 20
	replyHead   = 4 + 1

	maxIndex   = 1 << 62 // no log gets there, and nothing overflows
	maxSmall   = 1 << 20 // of frames other than append
	maxEntries = 1 << 10 // of an append
	maxBeats   = 1 << 10 // heads or answers in a frame
)

// The codes of answers and replies.
const (
	codeOK       byte = iota + 1
	codeRejected      // Raft has refused: to be tried again, with backoff
	codeMismatch      // Raft has refused for what lies before the entries: to be tried again at once with older ones
	codeNotHere       // the group is not open on that broker
	codeBusy          // more is waiting for the group there than its sender should have under way
	codeFailed        // Raft, or the handler of a call, has answered with an error
	codeNoMethod      // nobody there handles such calls
)

var errFrame = errors.New("bad frame")

// head is an append but for its entries.
type head struct {
	group                             GroupID
	seq                               uint32 // names it in the answer; 0: nobody waits for one
	term, prevIndex, prevTerm, commit uint64
}

func headOf(id GroupID, r *raft.AppendEntriesRequest) head {
	return head{group: id, term: r.Term, prevIndex: r.PrevLogEntry, prevTerm: r.PrevLogTerm, commit: r.LeaderCommitIndex}
}

func appendGroup(b []byte, id GroupID) []byte {
	return binary.BigEndian.AppendUint32(append(b, id.Topic[:]...), uint32(id.Partition))
}

func decodeGroup(b []byte) (id GroupID) {
	copy(id.Topic[:], b)
	id.Partition = int32(binary.BigEndian.Uint32(b[16:]))
	return id
}

func (h *head) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(appendGroup(b, h.group), h.seq)
	for _, v := range []uint64{h.term, h.prevIndex, h.prevTerm, h.commit} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// decodeHead is given headLen bytes or more.
func decodeHead(b []byte) (h head, err error) {
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[24+8*at:]) }
	h = head{group: decodeGroup(b), seq: binary.BigEndian.Uint32(b[20:])}
	h.term, h.prevIndex, h.prevTerm, h.commit = u64(0), u64(1), u64(2), u64(3)
	if h.prevIndex > maxIndex || h.commit > maxIndex {
		return h, fmt.Errorf("%w: append after entry %d, committed up to %d", errFrame, h.prevIndex, h.commit)
	}
	return h, nil
}

func appendFrameHead(b []byte, kind byte, length int) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(1+length)), kind)
}

// encodeAppend encodes an append but for the entries' data, which follow.
func encodeAppend(b []byte, h *head, entries []*raft.Log) []byte {
	b = appendFrameHead(b, kindAppend, appendLen(entries))
	b = binary.BigEndian.AppendUint32(h.encode(b), uint32(len(entries)))
	for _, e := range entries {
		b = append(binary.BigEndian.AppendUint64(b, e.Term), byte(e.Type))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	}
	return b
}

func appendLen(entries []*raft.Log) int {
	n := headLen + 4
	for _, e := range entries {
		n += entryLen + len(e.Data)
	}
	return n
}

// decodeAppend decodes an append. The entries lie in b, which is theirs for good. Their capacity reaches to its end, by which the
// cache of newest entries tells how much of b one of them would keep alive.
func decodeAppend(b []byte) (h head, entries []*raft.Log, err error) {
	if len(b) < headLen+4 {
		return h, nil, fmt.Errorf("%w: append of %d bytes", errFrame, len(b))
	}
	if h, err = decodeHead(b); err != nil {
		return h, nil, err
	}
	count := int(binary.BigEndian.Uint32(b[headLen:]))
	table := b[headLen+4:]
	if count > maxEntries || count*entryLen > len(table) {
		return h, nil, fmt.Errorf("%w: append of %d entries in %d bytes", errFrame, count, len(b))
	}
	data := table[count*entryLen:]
	logs := make([]raft.Log, count)
	entries = make([]*raft.Log, count)
	for i := range logs {
		e := table[i*entryLen:]
		n := uint64(binary.BigEndian.Uint32(e[9:]))
		if n > uint64(len(data)) {
			return h, nil, fmt.Errorf("%w: entry of %d bytes, %d left", errFrame, n, len(data))
		}
		logs[i] = raft.Log{
			Index: h.prevIndex + 1 + uint64(i), Term: binary.BigEndian.Uint64(e), Type: raft.LogType(e[8]), Data: data[:n],
		}
		entries[i], data = &logs[i], data[n:]
	}
	if len(data) > 0 {
		return h, nil, fmt.Errorf("%w: %d bytes after the entries", errFrame, len(data))
	}
	return h, entries, nil
}

// decodeBeats calls yield for each head of a beats frame.
func decodeBeats(b []byte, yield func(head)) error {
	if len(b)%headLen != 0 {
		return fmt.Errorf("%w: beats of %d bytes", errFrame, len(b))
	}
	for ; len(b) > 0; b = b[headLen:] {
		h, err := decodeHead(b)
		if err != nil {
			return err
		}
		yield(h)
	}
	return nil
}

// answer is what became of an append.
type answer struct {
	seq        uint32
	code       byte
	term, last uint64
}

func (a *answer) encode(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint32(b, a.seq), a.code)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.term), a.last)
}

func decodeAnswers(b []byte, yield func(answer)) error {
	if len(b)%answerLen != 0 {
		return fmt.Errorf("%w: answers of %d bytes", errFrame, len(b))
	}
	for ; len(b) > 0; b = b[answerLen:] {
		yield(answer{
			seq: binary.BigEndian.Uint32(b), code: b[4], term: binary.BigEndian.Uint64(b[5:]), last: binary.BigEndian.Uint64(b[13:]),
		})
	}
	return nil
}

// request is a remote call other than an append.
type request struct {
	seq   uint32
	what  byte
	group GroupID
	body  []byte
}

func (r *request) encode(b []byte) []byte { return r.encodeBefore(b, 0) }

// encodeBefore encodes a request whose body ends with length bytes more, which follow.
func (r *request) encodeBefore(b []byte, length int) []byte {
	b = appendFrameHead(b, kindRequest, requestHead+len(r.body)+length)
	b = append(binary.BigEndian.AppendUint32(b, r.seq), r.what)
	return append(appendGroup(b, r.group), r.body...)
}

func decodeRequest(b []byte) (r request, err error) {
	if len(b) < requestHead {
		return r, fmt.Errorf("%w: request of %d bytes", errFrame, len(b))
	}
	return request{seq: binary.BigEndian.Uint32(b), what: b[4], group: decodeGroup(b[5:]), body: b[requestHead:]}, nil
}

func encodeReply(b []byte, seq uint32, code byte, body []byte) []byte {
	return append(encodeReplyHead(b, seq, code, len(body)), body...)
}

// encodeReplyHead encodes a reply but for its body, which has length bytes and follows.
func encodeReplyHead(b []byte, seq uint32, code byte, length int) []byte {
	b = appendFrameHead(b, kindReply, replyHead+length)
	return append(binary.BigEndian.AppendUint32(b, seq), code)
}

func decodeReply(b []byte) (seq uint32, code byte, body []byte, err error) {
	if len(b) < replyHead {
		return 0, 0, nil, fmt.Errorf("%w: reply of %d bytes", errFrame, len(b))
	}
	return binary.BigEndian.Uint32(b), b[4], b[replyHead:], nil
}
