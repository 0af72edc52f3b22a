package transport

import (
	"encoding/binary"
	"fmt"
)

// A pulse is a ping of the failure detection or the answer to one: the time of the ping, for whoever has sent it (8), and a bulletin: process,
// list, process whose list was read, that list, how far (8 each), told up to (8), whether that is the end (1), count (4), and for each notice
// its number (8), kind (1), group (20) and term (8).
const (
	bulletinHead = 6*8 + 1 + 4
	noticeLen    = 8 + 1 + 20 + 8
)

func encodePulse(b []byte, kind byte, at uint64, t *bulletin) []byte {
	b = appendFrameHead(b, kind, 8+bulletinHead+len(t.notices)*noticeLen)
	b = appendUint64s(b, at, t.process, t.list, t.ackProcess, t.ackList, t.ackedTo, t.upTo)
	b = binary.BigEndian.AppendUint32(append(b, boolByte(t.whole)), uint32(len(t.notices)))
	for i := range t.notices {
		n := &t.notices[i]
		b = append(appendUint64s(b, n.number), byte(n.kind))
		b = appendUint64s(appendGroup(b, n.group), n.term)
	}
	return b
}

func decodePulse(b []byte) (at uint64, t bulletin, err error) {
	if len(b) < 8+bulletinHead {
		return 0, t, fmt.Errorf("%w: pulse of %d bytes", errFrame, len(b))
	}
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	at = u64(0)
	t = bulletin{process: u64(1), list: u64(2), ackProcess: u64(3), ackList: u64(4), ackedTo: u64(5), upTo: u64(6), whole: b[56] == 1}
	n := int64(binary.BigEndian.Uint32(b[57:]))
	if b = b[8+bulletinHead:]; n > maxNotices || int64(len(b)) != n*noticeLen || t.process == 0 {
		return 0, t, fmt.Errorf("%w: pulse of process %d with %d notices in %d bytes", errFrame, t.process, n, len(b))
	}
	for ; len(b) > 0; b = b[noticeLen:] {
		n := notice{number: binary.BigEndian.Uint64(b), kind: noticeKind(b[8]), group: decodeGroup(b[9:]), term: binary.BigEndian.Uint64(b[29:])}
		if n.kind < deserted || n.kind > resigned || n.number > t.upTo {
			return 0, t, fmt.Errorf("%w: notice %d of kind %d, told up to %d", errFrame, n.number, n.kind, t.upTo)
		}
		t.notices = append(t.notices, n)
	}
	return at, t, nil
}
