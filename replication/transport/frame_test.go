package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment/fuzz"
)

var (
	testGroup = GroupID{Topic: [16]byte{0xaa, 1, 15: 0xbb}, Partition: 7}
	testHead  = head{group: testGroup, seq: 9, term: 5, prevIndex: 40, prevTerm: 4, commit: 39}

	testBulletin = bulletin{
		process: 1, list: 2, ackProcess: 3, ackList: 4, ackedTo: 5, upTo: 9, whole: true,
		notices: []notice{{8, deserted, testGroup, 6}, {9, resigned, testGroup, 5}},
	}

	testConfiguration = raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: "1-a", Address: "1-a"}}}
)

func testEntries() []*raft.Log {
	return []*raft.Log{
		{Index: 41, Term: 4, Type: raft.LogCommand, Data: []byte("batch")},
		{Index: 42, Term: 5, Type: raft.LogNoop, Data: []byte{}},
		{Index: 43, Term: 5, Type: raft.LogCommand, Data: []byte("another")},
	}
}

// appendFrame is an append as it goes over the wire, without the frame's head.
func appendFrame(h head, entries []*raft.Log) []byte {
	b := encodeAppend(nil, &h, entries)
	for _, e := range entries {
		b = append(b, e.Data...)
	}
	return b[frameHead:]
}

func golden(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if want = strings.Join(strings.Fields(want), ""); hex.EncodeToString(got) != want {
		t.Errorf("%s:\n got %x\nwant %s", what, got, want)
	}
}

func TestFrameFormats(t *testing.T) {
	const group = "aa0100000000000000000000000000bb 00000007 "
	const headHex = group + "00000009 0000000000000005 0000000000000028 0000000000000004 0000000000000027"
	h := testHead
	golden(t, "append", append(encodeAppend(nil, &h, testEntries()), "batchanother"...), "00000070 01"+headHex+
		"00000003 0000000000000004 00 00000005 0000000000000005 01 00000000 0000000000000005 00 00000007 6261746368 616e6f74686572")
	golden(t, "head", h.encode(nil), headHex)
	a := answer{seq: 9, code: codeMismatch, term: 6, last: 12}
	golden(t, "answer", a.encode(nil), "00000009 03 0000000000000006 000000000000000c")
	r := request{seq: 9, what: askVote, group: testGroup, body: encodeVote(&raft.RequestVoteRequest{
		Term: 6, LastLogIndex: 43, LastLogTerm: 5, LeadershipTransfer: true,
	}, &election{over: 4})}
	golden(t, "vote", r.encode(nil), "0000003b 04 00000009 01"+group+"0000000000000006 000000000000002b 0000000000000005 01 0000000000000004")
	golden(t, "reply", encodeReply(nil, 9, codeOK, encodeResponse(&raft.RequestVoteResponse{Term: 6, Granted: true})),
		"0000000f 05 00000009 01 0000000000000006 01")
	golden(t, "ping", appendFrameHead(nil, kindPing, 0), "00000001 06")
	golden(t, "call", append(encodeCall(nil, 9, MethodStates, 3*time.Second, 4), "body"...), "0000000e 08 00000009 02 00000bb8 626f6479")
	golden(t, "pulse", encodePulse(nil, kindPulse, 77, &testBulletin), "00000088 0a 000000000000004d 0000000000000001 0000000000000002"+
		"0000000000000003 0000000000000004 0000000000000005 0000000000000009 01 00000002"+
		"0000000000000008 01"+group+"0000000000000006 0000000000000009 03"+group+"0000000000000005")
	if at, b, err := decodePulse(encodePulse(nil, kindPulse, 77, &testBulletin)[frameHead:]); err != nil || at != 77 || !reflect.DeepEqual(b, testBulletin) {
		t.Errorf("pulse of %d comes back as %+v, %v", at, b, err)
	}

	got, entries, err := decodeAppend(appendFrame(testHead, testEntries()))
	if err != nil || got != testHead || !reflect.DeepEqual(entries, testEntries()) {
		t.Errorf("append comes back as %+v %v, %v", got, entries, err)
	}
}

func TestHandshakeFormat(t *testing.T) {
	hello := newHello()
	golden(t, "hello", hello[:9], hex.EncodeToString([]byte("quirebrk"))+"01")
	if len(hello) != 41 || bytes.Equal(hello, newHello()) {
		t.Errorf("hello %x", hello)
	}
	h := hellos{secret: []byte("secret"), dialer: bytes.Repeat([]byte{1}, helloLen), acceptor: bytes.Repeat([]byte{2}, helloLen)}
	var b bytes.Buffer
	if err := h.write(&b, roleDialer, encodeNames([]byte{byte(data)}, "c", "1-a", "2-b")); err != nil {
		t.Fatal(err)
	}
	golden(t, "identity", b.Bytes(), "000b 02 0163 03312d61 03322d62 "+goldenMAC)
	if _, err := h.read(bytes.NewReader(b.Bytes()), roleDialer); err != nil {
		t.Error(err)
	}
	if _, err := h.read(bytes.NewReader(b.Bytes()), roleAcceptor); !errors.Is(err, errStranger) {
		t.Errorf("a dialer's identity as an acceptor's: %v", err)
	}
	h.dialer = newHello()
	if _, err := h.read(bytes.NewReader(b.Bytes()), roleDialer); !errors.Is(err, errStranger) {
		t.Errorf("an identity of another handshake: %v", err)
	}
}

// goldenMAC was computed by Python's hmac.
const goldenMAC = "5491a9f678434ea9d79b5fae7f0fe2b83a0db5c41d686318f30694dbb88c341c"

// checkFrame decodes b as every kind of frame. What decodes must come out as it went in.
func checkFrame(t testing.TB, b []byte) {
	b = bytes.Clone(b)
	if h, entries, err := decodeAppend(b); err == nil && !bytes.Equal(appendFrame(h, entries), b) {
		t.Errorf("append %x comes out as %x", b, appendFrame(h, entries))
	}
	var heads, answers []byte
	if err := decodeBeats(b, func(h head) { heads = h.encode(heads) }); err == nil && !bytes.Equal(heads, b) {
		t.Errorf("beats %x come out as %x", b, heads)
	}
	if err := decodeAnswers(b, func(a answer) { answers = a.encode(answers) }); err == nil && !bytes.Equal(answers, b) {
		t.Errorf("answers %x come out as %x", b, answers)
	}
	if r, err := decodeRequest(b); err == nil {
		if out := r.encode(nil)[frameHead:]; !bytes.Equal(out, b) {
			t.Errorf("request %x comes out as %x", b, out)
		}
		_, _, _ = decodeCommand("1-a", &r)
	}
	if at, t2, err := decodePulse(b); err == nil && b[56] <= 1 {
		if out := encodePulse(nil, kindPulse, at, &t2)[frameHead:]; !bytes.Equal(out, b) {
			t.Errorf("pulse %x comes out as %x", b, out)
		}
	}
	if c, err := decodeCall(b); err == nil {
		if out := append(encodeCall(nil, c.seq, c.method, c.wait, len(c.body)), c.body...)[frameHead:]; !bytes.Equal(out, b) {
			t.Errorf("call %x comes out as %x", b, out)
		}
	}
	_, _ = readProbe(bytes.NewReader(b))
	if seq, code, body, err := decodeReply(b); err == nil {
		if out := encodeReply(nil, seq, code, body)[frameHead:]; !bytes.Equal(out, b) {
			t.Errorf("reply %x comes out as %x", b, out)
		}
		_, _, _ = decodeResponse(body)
	}
}

// checkHandshake reads b as what a stranger and a broker may send.
func checkHandshake(t testing.TB, b []byte) {
	r := bytes.NewReader(b)
	if _, err := readHello(r); err != nil {
		return
	}
	h := hellos{secret: []byte("secret"), dialer: make([]byte, helloLen), acceptor: make([]byte, helloLen)}
	body, err := h.read(r, roleDialer)
	if err == nil {
		tr := &Transport{o: Options{Self: "2-b"}}
		tr.SetCluster("c")
		_, _, _ = tr.checkDialer(nil, body)
		_, _ = tr.checkAcceptor(nil, body, "c", "1-a")
	}
}

// mendMAC makes the MAC of an identity right.
func mendMAC(b []byte) {
	if len(b) < helloLen+2 {
		return
	}
	id := b[helloLen:]
	n := int(binary.BigEndian.Uint16(id))
	h := hellos{secret: []byte("secret"), dialer: make([]byte, helloLen), acceptor: make([]byte, helloLen)}
	if len(id) >= 2+n+sha256.Size {
		copy(id[2+n:], h.mac(roleDialer, id[2:2+n]))
	}
}

func seedFrames() [][]byte {
	h := testHead
	a := answer{seq: 9, code: codeOK, term: 6, last: 12}
	seeds := [][]byte{appendFrame(testHead, testEntries()), h.encode(h.encode(nil)), a.encode(a.encode(nil))}
	for _, r := range []request{
		{seq: 1, what: askVote, body: encodeVote(&raft.RequestVoteRequest{Term: 6}, &election{over: 4})},
		{seq: 2, what: askPreVote, body: encodePreVote(&raft.RequestPreVoteRequest{Term: 6})},
		{seq: 3, what: askTimeoutNow, body: make([]byte, 8)},
		{seq: 4, what: askInstall, body: append(make([]byte, 32), raft.EncodeConfiguration(testConfiguration)...)},
		{seq: 5, what: askSnapshot, group: ControllerGroup, body: append(encodeSnapshot(&raft.InstallSnapshotRequest{
			Configuration: raft.EncodeConfiguration(testConfiguration),
		}), "data"...)},
	} {
		seeds = append(seeds, r.encode(nil)[frameHead:])
	}
	seeds = append(seeds, encodePulse(nil, kindPulse, 77, &testBulletin)[frameHead:], encodeCall(nil, 9, MethodStates, time.Second, 0)[frameHead:])
	return append(seeds, encodeReply(nil, 9, codeOK, make([]byte, 9))[frameHead:])
}

func seedHandshake() []byte {
	b := bytes.NewBuffer(newHello())
	h := hellos{secret: []byte("secret"), dialer: make([]byte, helloLen), acceptor: make([]byte, helloLen)}
	_ = h.write(b, roleDialer, encodeNames([]byte{byte(data)}, "c", "1-a", "2-b"))
	return b.Bytes()
}

func TestDamagedFrames(t *testing.T) {
	for name, g := range map[string]fuzz.Target{
		"frame":     {Runs: 60_000, Seeds: seedFrames(), Do: checkFrame},
		"handshake": {Runs: 30_000, Seeds: [][]byte{seedHandshake()}, Mend: mendMAC, Do: checkHandshake},
	} {
		t.Run(name, g.Run)
	}
}

func FuzzFrame(f *testing.F) {
	for _, s := range seedFrames() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkFrame(t, b) })
}

// What is written by pieces is what is read.
func TestOutboxKeepsOrder(t *testing.T) {
	o := newOutbox()
	for i := range 3 {
		h := head{seq: uint32(i)}
		o.add(func(b []byte) []byte { return encodeAppend(b, &h, testEntries()) }, testEntries())
		for j := range 2 * maxBeats { // more than one frame of them
			o.answers(answer{seq: uint32(j), code: codeOK})
		}
	}
	out := o.swap(outgoing{})
	var wire bytes.Buffer
	for _, piece := range out.gather(nil) {
		wire.Write(piece)
	}
	c := &conn{in: newReader(&wire), purpose: data, t: &Transport{o: Options{MaxFrame: 1 << 20}}}
	var kinds []byte
	for {
		kind, b, err := c.readFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		checkFrame(t, b)
		kinds = append(kinds, kind)
	}
	if want := bytes.Repeat([]byte{kindAppend, kindAnswers, kindAnswers}, 3); !bytes.Equal(kinds, want) {
		t.Errorf("frames %d, want %d", kinds, want)
	}
	if o.frames != 9 {
		t.Errorf("%d frames counted", o.frames)
	}
}

func TestFrameLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		purpose purpose
		kind    byte
		length  uint32
	}{
		{"empty", data, kindAppend, 0},
		{"larger than an append may be", data, kindAppend, 1<<20 + 2},
		{"an append on a control connection", control, kindAppend, maxSmall + 2},
		{"large, and no append", data, kindRequest, maxSmall + 2},
		{"a large call on a control connection", control, kindCall, maxSmall + 2},
		{"larger than a call may be", bulk, kindCall, callHead + maxCall + 2},
		{"larger than a snapshot may be", bulk, kindRequest, 1<<20 + 2},
		{"an append on a bulk connection", bulk, kindAppend, maxSmall + 2},
		{"all ones", data, kindAppend, 1<<32 - 1},
	} {
		b := append(binary.BigEndian.AppendUint32(nil, c.length), c.kind)
		in := &conn{in: newReader(bytes.NewReader(b)), purpose: c.purpose, t: &Transport{o: Options{MaxFrame: 1 << 20}}}
		if _, b, err := in.readFrame(); !errors.Is(err, errFrame) || b != nil {
			t.Errorf("%s: %d bytes, %v", c.name, len(b), err)
		}
	}
}
