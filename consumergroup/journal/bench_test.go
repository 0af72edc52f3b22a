package journal

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func benchmarkCommit() *OffsetCommit {
	v := &kmsg.OffsetCommitValue{Offset: 123456, LeaderEpoch: 3, CommitTimestamp: 1700000000000, TopicID: goldenID}
	return &OffsetCommit{Group: "order-processors-17", Topic: "orders", Partition: 11, Value: v}
}

func BenchmarkEncodeOffsetCommit(b *testing.B) {
	e := benchmarkCommit()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeOffsetCommit(b *testing.B) {
	key, value, err := Encode(benchmarkCommit())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
