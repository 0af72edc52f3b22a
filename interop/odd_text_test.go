package interop

import (
	"fmt"
	"strings"
	"testing"
)

// TestOddText is TestOddRecords for kcat and the console tools, which print and take text: they read what franz-go wrote, and each
// writes what it can say. Timestamps of records are their own; they read others'.
func TestOddText(t *testing.T) {
	broker := brokerUnderTest(t)
	settings := map[string]string{"message.timestamp.after.max.ms": "9223372036854775807"}
	const from = "odd-text-franz"
	createTopicWith(t, broker, from, 1, settings)
	written := oddText()
	produceAll(t, franz{}, broker, order{topic: from, codec: "none"}, written)
	for _, c := range clients(t) {
		if c.can().binary {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			readBack(t, broker, from, c, written, nil)
			topic := "odd-text-" + c.name()
			createTopicWith(t, broker, topic, 1, settings)
			var rs []record
			for _, r := range written {
				if mixed := (r.key == nil) != (r.value == nil) && len(r.key)+len(r.value) == 0; c.name() == "kcat" && mixed {
					continue // its -Z makes both null
				}
				r.timestamp = anyTime
				rs = append(rs, r)
			}
			writeText(t, c, broker, topic, rs)
			readBack(t, broker, topic, franz{}, rs, nil)
			readBack(t, broker, topic, c, rs, nil)
		})
	}
}

// writeText runs kcat once a record: its headers and its -Z are for all records of a run.
func writeText(t *testing.T, c client, broker, topic string, rs []record) {
	t.Helper()
	o := order{topic: topic, codec: "none"}
	if c.name() != "kcat" {
		produceAll(t, c, broker, o, rs)
		return
	}
	for i := range rs {
		produceAll(t, c, broker, o, rs[i:i+1])
	}
}

// oddText are the odd records that have no bytes which a line of text cannot hold.
func oddText() []record {
	const year2200 = 7_258_118_400_000
	some := []byte("some")
	many := make([]header, 1000)
	for i := range many {
		many[i] = header{fmt.Sprintf("header-%d", i), strings.Repeat("v", i%50)}
	}
	return []record{
		{key: []byte{}, value: some, timestamp: 1},
		{key: some, value: []byte{}, timestamp: 0},
		{key: []byte{}, value: []byte{}, timestamp: year2200},
		{key: nil, value: []byte("x"), timestamp: 2_147_483_648_000},
		{key: some, value: nil, timestamp: 999},
		{key: nil, value: []byte{}, timestamp: 1_700_000_000_000},
		{key: []byte{}, value: nil, timestamp: 1_700_000_000_000},
		{key: some, value: some, timestamp: 1_700_000_000_001, headers: many},
		{key: []byte("größe ☃"), value: []byte("größe ☃"), timestamp: year2200, headers: []header{{"größe", "☃"}, {"e", ""}}},
	}
}
