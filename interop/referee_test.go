package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestReferee sends malformed and out-of-place requests to Quire and to Apache Kafka and wants the same answer from both: the
// same error codes and offsets in the same places, or a closed connection. What differs on purpose stands in differences.
func TestReferee(t *testing.T) {
	quire, kafka := newPeer(t, brokerUnderTest(t)), newPeer(t, startKafka(t).addr)
	for _, c := range refereeCases() {
		t.Run(c.name, func(t *testing.T) {
			want, got := kafka.play(t, c), quire.play(t, c)
			switch reason, listed := differences[c.name]; {
			case listed && got == want:
				t.Errorf("both answered %s, and the case is listed as a difference", want)
			case listed:
				t.Logf("DIFFERENT ON PURPOSE: quire answered %s, kafka answered %s: %s", got, want, reason)
			case got != want:
				t.Errorf("quire answered %s\nkafka answered %s", got, want)
			default:
				t.Logf("both answered %s", want)
			}
		})
	}
	// After all this a well-formed record still goes in at the offset that is due.
	last := refereeCase{name: "after", steps: []step{send(produce("odd", 0, -1, build(nil)))}}
	if got, want := quire.play(t, last), kafka.play(t, last); got != want {
		t.Errorf("after the bad requests quire answered %s, kafka %s", got, want)
	}
}

// refereeCase is a sequence of requests on one connection.
type refereeCase struct {
	name  string
	steps []step
}

// step makes the bytes of one frame; req, where it is set, says how to read the answer.
type step struct {
	req   func(p *peer) kmsg.Request
	frame func(p *peer) []byte
	half  bool   // send the frame and close the sending side
	until string // the request is sent again until its answer has this in it, or its time is up
}

func send(req func(p *peer) kmsg.Request) step { return step{req: req} }

func raw(frame ...byte) step { return step{frame: func(*peer) []byte { return frame }} }

// peer is one broker and the ids it gave the topics.
type peer struct {
	addr     string
	id       [16]byte // of the topic odd
	producer int64
	sessions int32
	made     [16]byte // the id of the topic that was made last

	// Of the member that joined a group last, by either protocol.
	member     string
	generation int32
}

func newPeer(t *testing.T, addr string) *peer {
	t.Helper()
	createTopic(t, addr, "odd", 2)
	p := &peer{addr: addr}
	c := p.dial(t)
	defer c.Close()
	meta := kmsg.NewPtrMetadataRequest()
	meta.SetVersion(12)
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("odd")
	meta.Topics = append(meta.Topics, topic)
	for range time.Tick(50 * time.Millisecond) { // the broker may not have heard of it yet
		m, err := roundTripRequest(c, meta)
		if err != nil {
			t.Fatal(err)
		}
		if found := m.(*kmsg.MetadataResponse).Topics[0]; found.ErrorCode == 0 {
			p.id = found.TopicID
			break
		}
	}
	p.producer = producerID(t, c)
	return p
}

// producerID asks until the broker, which has just started, has one to give.
func producerID(t *testing.T, c net.Conn) int64 {
	t.Helper()
	init := kmsg.NewPtrInitProducerIDRequest()
	init.SetVersion(4)
	for range time.Tick(50 * time.Millisecond) {
		resp, err := roundTripRequest(c, init)
		if err != nil {
			t.Fatal(err)
		}
		if r := resp.(*kmsg.InitProducerIDResponse); r.ErrorCode == 0 {
			return r.ProducerID
		}
	}
	panic("unreachable")
}

func (p *peer) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// play sends the case on a connection of its own and puts the answers in words.
func (p *peer) play(t *testing.T, rc refereeCase) string {
	t.Helper()
	c := p.dial(t)
	defer c.Close()
	var said []string
	for _, s := range rc.steps {
		if s.req != nil {
			said = append(said, p.ask(c, s))
			continue
		}
		if _, err := c.Write(s.frame(p)); err != nil {
			said = append(said, "closed")
			continue
		}
		if s.half {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		said = append(said, describeRaw(c))
	}
	return strings.Join(said, "; ")
}

// ask sends a step's request and puts the answer in words.
func (p *peer) ask(c net.Conn, s step) string {
	late := time.After(3 * time.Second)
	for tick := time.Tick(10 * time.Millisecond); ; {
		resp, err := roundTripRequest(c, s.req(p))
		said := p.describe(resp, err)
		if err != nil || strings.Contains(said, s.until) {
			return said
		}
		select {
		case <-tick:
		case <-late:
			return said
		}
	}
}

// describeRaw reads one answer of unknown form: all that counts is whether there is one.
func describeRaw(c net.Conn) string {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return closedOr(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return closedOr(err)
	}
	return fmt.Sprintf("answer with error %d", int16(binary.BigEndian.Uint16(b[4:])))
}

func closedOr(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "silence"
	}
	return "closed"
}

func roundTripRequest(c net.Conn, req kmsg.Request) (kmsg.Response, error) {
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("referee")).AppendRequest(nil, req, 7)
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	b = b[4:]
	if req.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		b = b[1:] // no tags in the header
	}
	resp := req.ResponseKind()
	return resp, resp.ReadFrom(b)
}

// describe lists every error code and offset of a response in the order of its fields.
func (p *peer) describe(resp kmsg.Response, err error) string {
	if err != nil {
		return closedOr(err)
	}
	if f, ok := resp.(*kmsg.FetchResponse); ok && f.SessionID != 0 {
		p.sessions = f.SessionID
	}
	if r, ok := resp.(*kmsg.CreateTopicsResponse); ok && len(r.Topics) == 1 && r.Topics[0].ErrorCode == 0 {
		p.made = r.Topics[0].TopicID
	}
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		p.member, p.generation = r.MemberID, r.Generation
	case *kmsg.ConsumerGroupHeartbeatResponse:
		if r.ErrorCode == 0 {
			p.member, p.generation = *r.MemberID, r.MemberEpoch
		}
	}
	var out []string
	walk(reflect.ValueOf(resp).Elem(), &out)
	if d, ok := resp.(*kmsg.DescribeConfigsResponse); ok {
		out = append(out, configsInWords(d)...)
	}
	return strings.Join(out, " ")
}

// told are the fields that must agree between the brokers.
var told = map[string]bool{"ErrorCode": true, "BaseOffset": true, "Offset": true, "HighWatermark": true, "LogStartOffset": true,
	"EndOffset": true, "LeaderEpoch": false, "ProducerEpoch": true, "LastStableOffset": true, "Generation": true, "MemberEpoch": true}

func walk(v reflect.Value, out *[]string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if failed := v.FieldByName("ErrorCode"); name == "LogStartOffset" && failed.IsValid() && failed.Int() != 0 {
				continue // beside an error Kafka tells it or not, depending on which of its layers found the error
			}
			if told[name] && v.Field(i).CanInt() {
				*out = append(*out, fmt.Sprintf("%s=%d", name, v.Field(i).Int()))
			} else {
				walk(v.Field(i), out)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(v.Index(i), out)
		}
	}
}

// build makes a batch of one record, lets change break it, and computes the CRC unless change returns true.
func build(change func(b []byte) (keepCRC bool)) []byte {
	return buildFrom(-1, -1, -1, change)
}

func buildFrom(producer int64, epoch int16, sequence int32, change func(b []byte) bool) []byte {
	record := []byte{0, 0, 0, 2, 'k', 4, 'v', 'v', 0} // attributes, timestamp and offset deltas, key, value, no headers
	b := make([]byte, 61, 80)
	binary.BigEndian.PutUint64(b[27:], uint64(time.Now().UnixMilli()))
	binary.BigEndian.PutUint64(b[35:], uint64(time.Now().UnixMilli()))
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[57:], 1)
	binary.BigEndian.PutUint32(b[12:], ^uint32(0)) // leader epoch -1
	b[16] = 2
	b = append(append(b, byte(len(record)<<1)), record...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	if change != nil && change(b) {
		return b
	}
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
