package interop

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type request = func(p *peer) kmsg.Request

func refereeCases() []refereeCase {
	cases := append(frameCases(), produceCases()...)
	cases = append(cases, idempotenceCases()...)
	cases = append(cases, readCases()...)
	cases = append(cases, adminCases()...)
	cases = append(cases, clusterCases()...)
	cases = append(cases, brokerCases()...)
	cases = append(cases, configValueCases()...)
	cases = append(cases, listCases()...)
	cases = append(cases, topicDefaultCases()...)
	cases = append(cases, topicCases()...)
	cases = append(cases, versionCases()...)
	cases = append(cases, formCases()...)
	cases = append(cases, trimCases()...) // late: others read from the start
	return append(cases, groupCases()...) // last: others count the topics
}

// at is r at another version.
func at(version int16, r request) request {
	return func(p *peer) kmsg.Request {
		req := r(p)
		req.SetVersion(version)
		return req
	}
}

func one(name string, r request) refereeCase { return refereeCase{name, []step{send(r)}} }

func frameCases() []refereeCase {
	apiVersions := func(p *peer) []byte {
		return kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	}
	withHeader := func(key, version int16, body ...byte) step {
		b := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 9, 0xff, 0xff) // correlation id, no client id
		b = append(b, body...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		return raw(b...)
	}
	return []refereeCase{
		{"frame length negative", []step{raw(0xff, 0xff, 0xff, 0xff, 0, 18)}},
		{"frame length over the limit", []step{raw(0x7f, 0xff, 0xff, 0xff, 0, 18)}},
		{"frame too short for a header", []step{raw(0, 0, 0, 2, 0, 18)}},
		{"frame cut off", []step{{frame: func(p *peer) []byte { b := apiVersions(p); return b[:len(b)-3] }, half: true}}},
		{"key unknown", []step{withHeader(9999, 0)}},
		{"key negative", []step{withHeader(-5, 0)}},
		{"version unknown", []step{withHeader(3, 99)}},
		{"api versions unknown version", []step{withHeader(18, 99, 0)}},
		{"body missing", []step{withHeader(3, 4)}},
		{"body garbage", []step{withHeader(3, 4, bytes.Repeat([]byte{0xa5}, 40)...)}},
		{"array count hostile", []step{withHeader(3, 4, 0x7f, 0xff, 0xff, 0xff)}},
		{"produce body garbage", []step{withHeader(0, 7, bytes.Repeat([]byte{0x5a}, 64)...)}},
	}
}

func produce(topic string, partition int32, acks int16, batch []byte) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrProduceRequest()
		req.SetVersion(9)
		req.Acks, req.TimeoutMillis = acks, 5000
		rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		rt.Topic, rp.Partition, rp.Records = topic, partition, batch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
}

// put builds a change that writes v big-endian at a position of the batch.
func put[V uint8 | uint16 | uint32 | uint64](at int, v V) func([]byte) bool {
	return func(b []byte) bool {
		var w bytes.Buffer
		_ = binary.Write(&w, binary.BigEndian, v)
		copy(b[at:], w.Bytes())
		return false
	}
}

// produceCases leaves out what the two answer differently on purpose: Kafka looks into the records (it finds a codec's
// data damaged, and a largest timestamp that is not the records') where Quire stores a batch whose checksum is right as it
// is; an unknown codec is UNKNOWN_SERVER_ERROR from Kafka and INVALID_RECORD here; Produce 0 to 2 are advertised by both,
// but only Quire serves them.
func produceCases() []refereeCase {
	bad := func(name string, change func([]byte) bool) refereeCase {
		return one("produce "+name, produce("odd", 0, -1, build(change)))
	}
	large := func(p *peer) kmsg.Request {
		b := append(build(nil), make([]byte, 1<<20)...)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		return produce("odd", 0, -1, b)(p)
	}
	byID := func(version int16, id func(p *peer) [16]byte) request {
		return func(p *peer) kmsg.Request {
			req := produce("odd", 0, -1, build(nil))(p).(*kmsg.ProduceRequest)
			req.SetVersion(version)
			req.Topics[0].TopicID = id(p)
			return req
		}
	}
	transactional := func(p *peer) kmsg.Request {
		req := produce("odd", 0, -1, build(nil))(p).(*kmsg.ProduceRequest)
		req.Acks = 1
		return req
	}
	return []refereeCase{
		bad("well-formed", nil),
		bad("two hours ahead", func(b []byte) bool {
			ahead := uint64(time.Now().Add(2 * time.Hour).UnixMilli())
			binary.BigEndian.PutUint64(b[27:], ahead)
			binary.BigEndian.PutUint64(b[35:], ahead)
			return false
		}),
		bad("in 1970", func(b []byte) bool { clear(b[27:43]); return false }),
		bad("bad crc", func(b []byte) bool { binary.BigEndian.PutUint32(b[17:], 12345); return true }),
		bad("magic 0", put[uint8](16, 0)),
		bad("magic 1", put[uint8](16, 1)),
		bad("magic 3", put[uint8](16, 3)),
		bad("length too long", put[uint32](8, 400)),
		bad("length too short", put[uint32](8, 20)),
		bad("length negative", put[uint32](8, 0xfffffff0)),
		bad("count not as last offset delta", put[uint32](23, 7)),
		bad("count zero", put[uint32](57, 0)),
		bad("count negative", put[uint32](57, 0xffffffff)),
		bad("control batch", put[uint16](21, 0x20)),
		bad("base offset not zero", put[uint64](0, 77)),
		one("produce cut off", produce("odd", 0, -1, build(nil)[:40])),
		one("produce no records", produce("odd", 0, -1, []byte{})),
		one("produce two batches", produce("odd", 0, -1, append(build(nil), build(nil)...))),
		one("produce trailing bytes", produce("odd", 0, -1, append(build(nil), 1, 2, 3))),
		one("produce trailing piece of a batch", produce("odd", 0, -1, append(build(nil), build(nil)[:50]...))),
		one("produce trailing length", produce("odd", 0, -1, append(build(nil), build(nil)[:14]...))),
		one("produce trailing zeros", produce("odd", 0, -1, append(build(nil), make([]byte, 30)...))),
		one("produce trailing bad magic", produce("odd", 0, -1, append(build(nil), build(put[uint8](16, 9))[:20]...))),
		one("produce trailing old magic", produce("odd", 0, -1, append(build(nil), build(put[uint8](16, 1))...))),
		bad("negative last offset delta", put[uint32](23, 0xffffffff)),
		one("produce zstd at version 6", at(6, produce("odd", 0, -1, build(put[uint16](21, 4))))),
		one("produce with a transactional id", func(p *peer) kmsg.Request {
			req := produce("odd", 0, -1, build(nil))(p).(*kmsg.ProduceRequest)
			req.TransactionID = kmsg.StringPtr("tx")
			return req
		}),
		one("produce oversize", large),
		one("produce acks 2", produce("odd", 0, 2, build(nil))),
		one("produce acks -2", produce("odd", 0, -2, build(nil))),
		one("produce acks 1", transactional),
		one("produce unknown topic", produce("nowhere", 0, -1, build(nil))),
		one("produce unknown partition", produce("odd", 9, -1, build(nil))),
		one("produce negative partition", produce("odd", -1, -1, build(nil))),
		one("produce by id", byID(13, func(p *peer) [16]byte { return p.id })),
		one("produce by unknown id", byID(13, func(p *peer) [16]byte { return [16]byte{1, 2, 3} })),
	}
}

func idempotenceCases() []refereeCase {
	seq := func(epoch int16, sequence int32) step {
		return send(func(p *peer) kmsg.Request {
			return produce("odd", 1, -1, buildFrom(p.producer, epoch, sequence, nil))(p)
		})
	}
	return []refereeCase{
		{"sequences in order, repeated, torn", []step{seq(0, 0), seq(0, 1), seq(0, 1), seq(0, 0), seq(0, 5), seq(0, 2)}},
		{"epoch raised, old one refused", []step{seq(1, 3), seq(1, 0), seq(0, 3), seq(1, 1)}},
		{"six later, the oldest is forgotten", []step{seq(1, 2), seq(1, 3), seq(1, 4), seq(1, 5), seq(1, 6), seq(1, 7), seq(1, 1), seq(1, 3)}},
		{"sequence without producer", []step{send(produce("odd", 1, -1, buildFrom(-1, -1, 4, nil)))}},
		{"producer without sequence", []step{send(func(p *peer) kmsg.Request { return produce("odd", 1, -1, buildFrom(p.producer, 1, -1, nil))(p) })}},
		{"unknown producer starts anywhere", []step{send(func(p *peer) kmsg.Request { return produce("odd", 1, -1, buildFrom(p.producer+777, 0, 9, nil))(p) })}},
	}
}
