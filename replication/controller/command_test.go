package controller

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

var (
	idA = TopicID{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x41, 0x11, 0x91, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11}
	idB = TopicID{0xab, 0xcd}
)

// goldenCommands are the bytes of version 1, which logs on disks hold: a change here needs a new version.
var goldenCommands = []struct {
	command command
	bytes   string
}{
	{&foundCluster{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg"}, "\x01\x01" + `{"cluster_id":"MkU3OEVBNTcwNTJENDM2Qg"}`},
	{&registerBroker{Broker: Broker{ID: 1, Host: "h", Port: 9092, Rack: "r", RPCAddr: "h:1", Incarnation: "i"}},
		"\x02\x01" + `{"broker":{"id":1,"host":"h","port":9092,"rack":"r","rpc_addr":"h:1","incarnation":"i"}}`},
	{&createTopic{Topic: Topic{Name: "t", ID: idA, Partitions: []Partition{{Replicas: []int32{1, 2}}}, Configs: map[string]string{"a": "b"}}},
		"\x03\x01" + `{"topic":{"name":"t","id":"ERERERERQRGREREREREREQ","partitions":[{"replicas":[1,2]}],"configs":{"a":"b"}}}`},
	{&deleteTopic{ID: idB}, "\x04\x01" + `{"id":"q80AAAAAAAAAAAAAAAAAAA"}`},
	{&addPartitions{ID: idB, From: 3, Add: []Partition{{Replicas: []int32{1}}}},
		"\x05\x01" + `{"id":"q80AAAAAAAAAAAAAAAAAAA","from":3,"add":[{"replicas":[1]}]}`},
	{&alterTopicConfigs{ID: idB, Changes: []ConfigChange{{"a", ptr("b")}, {"c", nil}}},
		"\x06\x01" + `{"id":"q80AAAAAAAAAAAAAAAAAAA","changes":[{"key":"a","value":"b"},{"key":"c","value":null}]}`},
	{&alterBrokerConfigs{Broker: -1, Changes: []ConfigChange{{"a", ptr("")}}},
		"\x07\x01" + `{"broker":-1,"changes":[{"key":"a","value":""}]}`},
	{&reserveProducerIDs{Count: 1000}, "\x08\x01" + `{"count":1000}`},
	{&alterGroupConfigs{Group: "g", Changes: []ConfigChange{{"a", ptr("1")}, {"b", nil}}},
		"\x09\x01" + `{"group":"g","changes":[{"key":"a","value":"1"},{"key":"b","value":null}]}`},
	{&unregisterBroker{ID: 3}, "\x0a\x01" + `{"id":3}`},
	{&reassignPartitions{Moves: []Reassignment{{idA, 1, []int32{2, 1}}, {idB, 0, nil}}},
		"\x0b\x01" + `{"moves":[{"id":"ERERERERQRGREREREREREQ","partition":1,"replicas":[2,1]},` +
			`{"id":"q80AAAAAAAAAAAAAAAAAAA","partition":0,"replicas":null}]}`},
	{&completeReassignment{ID: idA, Partition: 1, Target: []int32{2, 1}},
		"\x0c\x01" + `{"id":"ERERERERQRGREREREREREQ","partition":1,"target":[2,1]}`},
}

func TestGoldenCommands(t *testing.T) {
	for _, g := range goldenCommands {
		b, err := encodeCommand(g.command)
		if err != nil || string(b) != g.bytes {
			t.Errorf("%T:\ngot  %q, %v\nwant %q", g.command, b, err, g.bytes)
		}
		c, err := decodeCommand([]byte(g.bytes))
		if err != nil || !reflect.DeepEqual(c, g.command) {
			t.Errorf("%T: decoded %+v, %v", g.command, c, err)
		}
	}
}

func TestDecodeCommandRefuses(t *testing.T) {
	for _, tc := range []struct {
		bytes string
		newer bool
	}{
		{"", false},
		{"\x08", false},
		{"\x00\x01{}", true},
		{"\x0d\x01{}", true},
		{"\x08\x02{}", true},
		{"\x08\x00{}", true},
		{"\x08\x01", false},
		{"\x08\x01{", false},
		{"\x08\x01{\"count\":1}x", false},
		{"\x08\x01{\"count\":1}{}", false},
		{"\x08\x01{\"count\":1,\"new\":1}", false},
		{"\x04\x01{\"id\":\"short\"}", false},
		{"\x04\x01{\"id\":\"????????????????AAAAAA\"}", false},
	} {
		if _, err := decodeCommand([]byte(tc.bytes)); err == nil || errors.Is(err, errNewerFormat) != tc.newer {
			t.Errorf("%q: %v", tc.bytes, err)
		}
	}
}

// goldenSnapshotV1 was written when brokers ran alone.
const goldenSnapshotV1 = "QCTL\x01" + `{"version":9,"cluster_id":"c","next_producer_id":7,` +
	`"brokers":[{"id":1,"host":"h","port":2,"rack":"","rpc_addr":"","incarnation":"i"},` +
	`{"id":2,"host":"","port":0,"rack":"","rpc_addr":"","incarnation":""}],` +
	`"topics":[{"name":"a","id":"q80AAAAAAAAAAAAAAAAAAA","partitions":[{"replicas":[1]}],"configs":{"k":"v"}},` +
	`{"name":"b","id":"ERERERERQRGREREREREREQ","partitions":null,"configs":null}],` +
	`"broker_configs":{"-1":{"x":"y"}},"group_configs":{"g":{"k":"v"}}}`

const goldenSnapshot = "QCTL\x02" + `{"version":9,"cluster_id":"c","next_producer_id":7,` +
	`"brokers":[{"id":1,"host":"h","port":2,"rack":"","rpc_addr":"","incarnation":"i"},` +
	`{"id":2,"host":"","port":0,"rack":"","rpc_addr":"","incarnation":""}],` +
	`"topics":[{"name":"a","id":"q80AAAAAAAAAAAAAAAAAAA","partitions":[{"replicas":[1],"founders":["1-i"]},` +
	`{"replicas":[2,1],"adding":[2],"removing":[1],"target":[2],"before":[1]}],"configs":{"k":"v"}},` +
	`{"name":"b","id":"ERERERERQRGREREREREREQ","partitions":null,"configs":null}],` +
	`"broker_configs":{"-1":{"x":"y"}},"group_configs":{"g":{"k":"v"}}}`

func TestSnapshotOfABrokerAlone(t *testing.T) {
	i, err := decodeSnapshot([]byte(goldenSnapshotV1))
	if err != nil {
		t.Fatal(err)
	}
	want := []Partition{{Replicas: []int32{1}, Founders: []string{"1-i"}}}
	if got := i.Topics["a"].Partitions; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

func TestGoldenSnapshot(t *testing.T) {
	a := &Topic{Name: "a", ID: idB, Partitions: []Partition{
		{Replicas: []int32{1}, Founders: []string{"1-i"}},
		{Replicas: []int32{2, 1}, Adding: []int32{2}, Removing: []int32{1}, Target: []int32{2}, Before: []int32{1}},
	}, Configs: map[string]string{"k": "v"}}
	b := &Topic{Name: "b", ID: idA}
	want := &Image{
		Version: 9, ClusterID: "c", nextProducerID: 7,
		Brokers:       map[int32]Broker{1: {ID: 1, Host: "h", Port: 2, Incarnation: "i"}, 2: {ID: 2}},
		Topics:        map[string]*Topic{"a": a, "b": b},
		TopicsByID:    map[TopicID]*Topic{a.ID: a, b.ID: b},
		BrokerConfigs: map[int32]map[string]string{-1: {"x": "y"}},
		GroupConfigs:  map[string]map[string]string{"g": {"k": "v"}},
	}
	bytes, err := encodeSnapshot(want)
	if err != nil || string(bytes) != goldenSnapshot {
		t.Fatalf("got  %q, %v\nwant %q", bytes, err, goldenSnapshot)
	}
	got, err := decodeSnapshot(bytes)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestDecodeSnapshotRefuses(t *testing.T) {
	for _, s := range []string{
		"", "QCTL", "QCTX\x01{}", "QCTL\x01", "QCTL\x03{}", "QCTL\x00{}", "QCTL\x01{}{}", "QCTL\x01{\"new\":1}",
		"QCTL\x01{\"topics\":[null]}",
		"QCTL\x01{\"topics\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
		"QCTL\x01{\"brokers\":[{\"id\":1},{\"id\":1}]}",
		"QCTL\x01{\"next_producer_id\":-1}",
	} {
		if i, err := decodeSnapshot([]byte(s)); err == nil {
			t.Errorf("%q: %+v", s, i)
		}
	}
}

func TestApplyLeavesTheOldImageAlone(t *testing.T) {
	img, err := decodeSnapshot([]byte(goldenSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	kept := img.Topics["b"]
	entries := []entry{
		{10, &createTopic{Topic: Topic{Name: "new", ID: TopicID{1}}}},
		{11, &deleteTopic{ID: TopicID{1}}},
		{12, &addPartitions{ID: idB, From: 2, Add: []Partition{{Replicas: []int32{2}}}}},
		{12, &reassignPartitions{Moves: []Reassignment{{idB, 0, []int32{1, 2}}}}},
		{12, &completeReassignment{ID: idB, Partition: 1, Target: []int32{2}}},
		{12, &registerBroker{Broker: Broker{ID: 3}}},
		{12, &unregisterBroker{ID: 3}},
		{13, &alterTopicConfigs{ID: idB, Changes: []ConfigChange{{"k", nil}}}},
		{14, &alterBrokerConfigs{Broker: -1, Changes: []ConfigChange{{"x", nil}}}},
		{14, &alterGroupConfigs{Group: "g", Changes: []ConfigChange{{"k", nil}}}},
		{15, &registerBroker{Broker: Broker{ID: 2, Host: "moved"}}},
		{16, &reserveProducerIDs{Count: 3}},
		{17, &foundCluster{ClusterID: "other"}},
	}
	next, results := applyEntries(img, entries)
	if before, err := encodeSnapshot(img); err != nil || string(before) != goldenSnapshot {
		t.Fatalf("the old image is now %s, %v", before, err)
	}
	want := "QCTL\x02" + `{"version":17,"cluster_id":"c","next_producer_id":10,` +
		`"brokers":[{"id":1,"host":"h","port":2,"rack":"","rpc_addr":"","incarnation":"i"},` +
		`{"id":2,"host":"moved","port":0,"rack":"","rpc_addr":"","incarnation":""}],` +
		`"topics":[{"name":"a","id":"q80AAAAAAAAAAAAAAAAAAA","partitions":[{"replicas":[1,2],"adding":[2],"target":[1,2],"before":[1],"founders":["1-i"]},` +
		`{"replicas":[2]},{"replicas":[2],"founders":["2-"]}],"configs":null},` +
		`{"name":"b","id":"ERERERERQRGREREREREREQ","partitions":null,"configs":null}],"broker_configs":{}}`
	if got, err := encodeSnapshot(next); err != nil || string(got) != want {
		t.Fatalf("got  %s, %v\nwant %s", got, err, want)
	}
	if next.Topics["b"] != kept {
		t.Error("an untouched topic was copied")
	}
	for i, r := range results {
		if (r.err != nil) != (i == len(results)-1) {
			t.Errorf("entry %d: %v", i, r.err)
		}
	}
}

func TestApplyInOneBatchOrMany(t *testing.T) {
	var all, one *Image = &Image{}, &Image{}
	var entries []entry
	for i, g := range goldenCommands {
		entries = append(entries, entry{uint64(i + 1), g.command})
		one, _ = applyEntries(one, entries[i:])
	}
	all, _ = applyEntries(all, entries)
	if !reflect.DeepEqual(all, one) {
		t.Fatalf("%+v\n%+v", all, one)
	}
}

func TestNewUUID(t *testing.T) {
	seen := map[TopicID]bool{}
	for range 1000 {
		id := newUUID()
		if s := id.String(); seen[id] || len(s) != 22 || s[0] == '-' {
			t.Fatal(s)
		}
		seen[id] = true
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, g := range goldenCommands {
		f.Add([]byte(g.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkCommand(t, b) })
}

func checkCommand(t testing.TB, b []byte) {
	c, err := decodeCommand(b)
	if err != nil {
		return
	}
	again, err := encodeCommand(c)
	if err != nil {
		return // escapes made it longer than a command may be
	}
	d, err := decodeCommand(again)
	if err != nil || !reflect.DeepEqual(c, d) {
		t.Fatalf("%q: %+v, then %+v, %v", b, c, d, err)
	}
	img, err := decodeSnapshot([]byte(goldenSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	applyEntries(img, []entry{{10, c}, {11, d}})
	if after, err := encodeSnapshot(img); err != nil || string(after) != goldenSnapshot {
		t.Fatalf("%q changed the image it was applied to", b)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add([]byte(goldenSnapshot))
	f.Fuzz(func(t *testing.T, b []byte) { checkSnapshot(t, b) })
}

func checkSnapshot(t testing.TB, b []byte) {
	i, err := decodeSnapshot(b)
	if err != nil {
		return
	}
	once, err := encodeSnapshot(i)
	if err != nil {
		t.Fatal(err)
	}
	j, err := decodeSnapshot(once)
	if err != nil {
		t.Fatalf("%q cannot be read again: %v", once, err)
	}
	if twice, err := encodeSnapshot(j); err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%q, then %q", once, twice)
	}
}
