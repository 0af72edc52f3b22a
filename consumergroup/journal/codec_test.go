package journal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// goldenRecord is a record in the bytes of Kafka's own classes; value is nil for a tombstone.
type goldenRecord struct {
	name       string
	key, value []byte
}

// goldenRecords reads what testdata/Golden.java printed: name, key and value ("-": none) of a record a line.
func goldenRecords(t testing.TB) (records []goldenRecord) {
	f, err := os.Open("testdata/kafka-4.3.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		g, field := goldenRecord{}, strings.Fields(s.Text())
		g.name = field[0]
		if g.key, err = hex.DecodeString(field[1]); err != nil {
			t.Fatal(err)
		}
		if field[2] != "-" {
			if g.value, err = hex.DecodeString(field[2]); err != nil {
				t.Fatal(err)
			}
		}
		records = append(records, g)
	}
	return records
}

// goldenEntry is what a golden record says, and whether Encode makes the same bytes of it.
type goldenEntry struct {
	entry   Entry
	written bool
}

func ptr(s string) *string { return &s }

func offsetCommit(v *kmsg.OffsetCommitValue) Entry {
	return &OffsetCommit{Group: "orders", Topic: "invoices", Partition: 3, Value: v}
}

func goldenOffsets() map[string]goldenEntry {
	value := func(version int16, epoch int32, expire int64) *kmsg.OffsetCommitValue {
		return &kmsg.OffsetCommitValue{Version: version, Offset: 1234567890123, LeaderEpoch: epoch, Metadata: "né",
			CommitTimestamp: 1700000000000, ExpireTimestamp: expire}
	}
	short := func(version int16, id [16]byte) *kmsg.OffsetCommitValue {
		return &kmsg.OffsetCommitValue{Version: version, Offset: 5, LeaderEpoch: -1, CommitTimestamp: 9, ExpireTimestamp: -1, TopicID: id}
	}
	return map[string]goldenEntry{
		"offset-v0":        {offsetCommit(value(0, -1, -1)), false},
		"offset-v1":        {offsetCommit(value(1, -1, 1700000086400)), true},
		"offset-v2":        {offsetCommit(value(2, -1, -1)), false},
		"offset-v3":        {offsetCommit(value(3, 7, -1)), false},
		"offset-v4":        {offsetCommit(value(4, 7, -1)), true},
		"offset-id":        {offsetCommit(short(4, goldenID)), true},
		"offset-tags":      {offsetCommit(short(4, goldenID)), false},
		"offset-legacy":    {offsetCommit(short(0, [16]byte{})), false},
		"offset-tombstone": {offsetCommit(nil), true},
	}
}

var goldenID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func goldenGroups() map[string]goldenEntry {
	group := func(version int16, timestamp int64, instance *string, rebalance int32) Entry {
		return &GroupMetadata{Group: "orders", Value: &kmsg.GroupMetadataValue{
			Version: version, ProtocolType: "consumer", Generation: 4, Protocol: ptr("range"), Leader: ptr("m1"), CurrentStateTimestamp: timestamp,
			Members: []kmsg.GroupMetadataValueMember{
				{MemberID: "m1", InstanceID: instance, ClientID: "c1", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: rebalance,
					SessionTimeoutMillis: 45000, Subscription: []byte{1, 2}},
				{MemberID: "m2", RebalanceTimeoutMillis: -1, SessionTimeoutMillis: 1, Assignment: []byte{9}},
			}}}
	}
	const now = 1700000000000
	return map[string]goldenEntry{
		"group-v0":        {group(0, -1, nil, -1), false},
		"group-v1":        {group(1, -1, nil, 300000), false},
		"group-v2":        {group(2, now, nil, 300000), false},
		"group-v3":        {group(3, now, ptr("i1"), 300000), true},
		"group-v4":        {group(4, now, ptr("i1"), 300000), false},
		"group-empty":     {&GroupMetadata{Group: "orders", Value: &kmsg.GroupMetadataValue{Version: 3, CurrentStateTimestamp: -1}}, true},
		"group-tombstone": {&GroupMetadata{Group: "orders"}, true},
	}
}

func goldenMembers() map[string]goldenEntry {
	member := func(classic *ClassicMember) Entry {
		return &Member{Group: "orders", Member: "m1", Value: &MemberValue{
			InstanceID: ptr("i1"), RackID: ptr("r1"), ClientID: "c1", ClientHost: "/127.0.0.1", Topics: []string{"a", "bb"}, Regex: ptr("x.*"),
			RebalanceTimeoutMs: 300000, Assignor: ptr("uniform"), Classic: classic}}
	}
	classic := &ClassicMember{SessionTimeoutMs: 45000, Protocols: []ClassicProtocol{{Name: "range", Metadata: []byte{1, 2, 3}}, {}}}
	bare := &MemberValue{RebalanceTimeoutMs: -1, Classic: &ClassicMember{}}
	return map[string]goldenEntry{
		"member":               {member(nil), true},
		"member-classic":       {member(classic), true},
		"member-classic-empty": {&Member{Group: "orders", Member: "m1", Value: bare}, true},
		"member-tags":          {member(nil), false},
		"member-tombstone":     {&Member{Group: "orders", Member: "m1"}, true},
	}
}

func goldenAssignments() map[string]goldenEntry {
	const epoch, now = 11, 1700000000000
	current := func(assigned, revoking []AssignedPartitions) Entry {
		return &Current{Group: "orders", Member: "m1", Value: &CurrentValue{Epoch: epoch, PreviousEpoch: 10, State: 1, Assigned: assigned, Revoking: revoking}}
	}
	two := AssignedPartitions{TopicID: goldenID, Partitions: []int32{1, 2}}
	four := AssignedPartitions{TopicID: goldenID, Partitions: []int32{4}}
	fenced := AssignedPartitions{TopicID: goldenID, Partitions: []int32{4}, Epochs: []int32{10}}
	targets := []TopicPartitions{{TopicID: goldenID, Partitions: []int32{0, 2, 300}}, {TopicID: [16]byte{15: 1}}}
	return map[string]goldenEntry{
		"epoch":                  {&ConsumerGroup{Group: "orders", Value: &ConsumerGroupValue{Epoch: epoch}}, true},
		"epoch-hash":             {&ConsumerGroup{Group: "orders", Value: &ConsumerGroupValue{Epoch: epoch, MetadataHash: -2}}, true},
		"epoch-tombstone":        {&ConsumerGroup{Group: "orders"}, true},
		"partitions-tombstone":   {&PartitionMetadata{Group: "orders"}, true},
		"target":                 {&Target{Group: "orders", Value: &TargetValue{Epoch: epoch}}, true},
		"target-time":            {&Target{Group: "orders", Value: &TargetValue{Epoch: epoch, Timestamp: now}}, true},
		"target-tombstone":       {&Target{Group: "orders"}, true},
		"targetmember":           {&TargetMember{Group: "orders", Member: "m1", Value: &TargetMemberValue{Partitions: targets}}, true},
		"targetmember-empty":     {&TargetMember{Group: "orders", Member: "m1", Value: &TargetMemberValue{}}, true},
		"targetmember-tombstone": {&TargetMember{Group: "orders", Member: "m1"}, true},
		"current":                {current([]AssignedPartitions{two}, []AssignedPartitions{fenced, two}), true},
		"current-null":           {current(nil, []AssignedPartitions{four}), false},
		"current-tombstone":      {&Current{Group: "orders", Member: "m1"}, true},
		"regex":                  {&Regex{Group: "orders", Expression: "x.*", Value: &RegexValue{Topics: []string{"xa", "xb"}, Version: 77, Timestamp: now}}, true},
		"regex-tombstone":        {&Regex{Group: "orders", Expression: "x.*"}, true},
	}
}

// Every record of Kafka's is read as what it says, and what Kafka writes is written to the byte.
func TestGolden(t *testing.T) {
	want := map[string]goldenEntry{}
	for _, part := range []map[string]goldenEntry{goldenOffsets(), goldenGroups(), goldenMembers(), goldenAssignments()} {
		for name, g := range part {
			want[name] = g
		}
	}
	seen := 0
	for _, g := range goldenRecords(t) {
		key, value := bytes.Clone(g.key), bytes.Clone(g.value)
		got, err := Decode(key, value)
		clear(key) // what was decoded must not refer to it
		clear(value)
		w, ok := want[g.name]
		if !ok {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: got %+v, %v", g.name, got, err)
			}
			continue
		}
		seen++
		if err != nil || !reflect.DeepEqual(got, w.entry) {
			t.Errorf("%s: got %+v, %v", g.name, got, err)
			continue
		}
		if got.GroupID() != "orders" {
			t.Errorf("%s: group %q", g.name, got.GroupID())
		}
		key, value, err = Encode(w.entry)
		if same := bytes.Equal(key, g.key) && bytes.Equal(value, g.value) && (value == nil) == (g.value == nil); err != nil || same != w.written {
			t.Errorf("%s: wrote %x %x, %v", g.name, key, value, err)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d golden records", seen, len(want))
	}
}

// What a caller leaves at its zero value, an expire time above all, is not an expire time of 1970.
func TestZeroExpireTimeIsNone(t *testing.T) {
	_, value, err := Encode(offsetCommit(&kmsg.OffsetCommitValue{Offset: 1}))
	if err != nil || value[1] != newest {
		t.Errorf("%x, %v", value, err)
	}
}

func TestUnknownAndDamaged(t *testing.T) {
	key := []byte("\x00\x02\x00\x06orders")
	for name, tt := range map[string]struct {
		key, value []byte
		unknown    bool
	}{
		"no key":            {nil, nil, false},
		"half a type":       {[]byte{0}, nil, false},
		"another type":      {[]byte{0, 9, 0, 0}, nil, true},
		"a negative type":   {[]byte{255, 255, 0, 0}, nil, true},
		"a short group":     {key[:6], nil, false},
		"a null group":      {[]byte{0, 2, 255, 255}, nil, false},
		"an empty value":    {key, []byte{}, false},
		"a later version":   {key, []byte{0, 5}, true},
		"a negative one":    {key, []byte{255, 255}, true},
		"a hostile count":   {key, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x7f\xff\xff\xff"), false},
		"a null count":      {key, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), false},
		"four billion tags": {[]byte("\x00\x03\x00\x00"), []byte("\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f"), false},
		"a huge tag":        {[]byte("\x00\x03\x00\x00"), []byte("\x00\x00\x00\x00\x00\x00\x01\x01\xff\xff\xff\xff\x0f"), false},
	} {
		e, err := Decode(tt.key, tt.value)
		if err == nil || errors.Is(err, ErrUnknown) != tt.unknown {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	long := strings.Repeat("x", 1<<15)
	for _, e := range []Entry{
		&ConsumerGroup{Group: long},
		&OffsetCommit{Topic: long},
		&GroupMetadata{Value: &kmsg.GroupMetadataValue{ProtocolType: long}},
		&GroupMetadata{Value: &kmsg.GroupMetadataValue{Leader: &long}},
	} {
		if _, _, err := Encode(e); err == nil {
			t.Errorf("%T passed", e)
		}
	}
	_, value, err := Encode(offsetCommit(&kmsg.OffsetCommitValue{Metadata: long}))
	if err != nil || len(value) < len(long) {
		t.Errorf("metadata: %d bytes, %v", len(value), err)
	}
}
