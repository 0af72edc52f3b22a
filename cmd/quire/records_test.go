package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestJSONRecord(t *testing.T) {
	at := time.UnixMilli(1700000000123)
	for _, tc := range []struct {
		name string
		r    kgo.Record
		want string
	}{
		{"text", kgo.Record{Topic: "t", Partition: 3, Offset: 7, Timestamp: at, Key: []byte("k"), Value: []byte(`<"v">` + "\n")},
			`{"topic":"t","partition":3,"offset":7,"timestamp":1700000000123,"key":"k","value":"<\"v\">\n"}`},
		{"tombstone", kgo.Record{Topic: "t", Timestamp: at, Key: []byte("k")},
			`{"topic":"t","partition":0,"offset":0,"timestamp":1700000000123,"key":"k","value":null}`},
		{"empty is not null", kgo.Record{Topic: "t", Timestamp: at, Value: []byte{}},
			`{"topic":"t","partition":0,"offset":0,"timestamp":1700000000123,"key":null,"value":""}`},
		{"bytes", kgo.Record{Topic: "t", Timestamp: at, Key: []byte{0xff}, Value: []byte{0, 0xfe}},
			`{"topic":"t","partition":0,"offset":0,"timestamp":1700000000123,"key_base64":"/w==","value_base64":"AP4="}`},
		{"headers", kgo.Record{Topic: "t", Timestamp: at, Value: []byte("v"),
			Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "c", Value: []byte{0xff}}}},
			`{"topic":"t","partition":0,"offset":0,"timestamp":1700000000123,"key":null,"value":"v","headers":` +
				`[{"key":"a","value":"1"},{"key":"b","value":null},{"key":"c","value_base64":"/w=="}]}`},
	} {
		got, err := appendJSON([]byte("before "), &tc.r)
		if err != nil || string(got) != "before "+tc.want+"\n" {
			t.Errorf("%s: %v\n got %s\nwant before %s", tc.name, err, got, tc.want)
		}
	}
}

func TestRecordReader(t *testing.T) {
	type kv struct{ key, value string }
	for _, tc := range []struct {
		name, format, in string
		want             []kv
	}{
		{"lines", `%v\n`, "a\nb\n", []kv{{"", "a"}, {"", "b"}}},
		{"no newline at the end", `%v\n`, "a\nb", []kv{{"", "a"}, {"", "b"}}},
		{"empty lines", `%v\n`, "\n\n", []kv{{}, {}}},
		{"empty input", `%v\n`, "", nil},
		{"keyed", `%k\t%v\n`, "k\tv\nl\t", []kv{{"k", "v"}, {"l", ""}}},
		{"json", `%k %v{json}\n`, "k {\"a\": 1}\n", []kv{{"k", `{"a":1}`}}},
		{"sized", `%K %k%V %v`, "2 ab3 cde", []kv{{"ab", "cde"}}},
	} {
		asIs := func(r io.Reader) io.Reader { return r }
		for _, in := range []func(io.Reader) io.Reader{asIs, iotest.OneByteReader, iotest.DataErrReader} {
			rr, err := newRecordReader(in(strings.NewReader(tc.in)), tc.format)
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			for i := 0; ; i++ {
				r, err := rr.ReadRecord()
				if errors.Is(err, io.EOF) && i == len(tc.want) {
					break
				}
				if err != nil || i >= len(tc.want) || string(r.Key) != tc.want[i].key || string(r.Value) != tc.want[i].value {
					t.Fatalf("%s: record %d: %v, %v", tc.name, i, r, err)
				}
			}
		}
	}
}

// The partitions are those of Kafka's Java client.
func TestKeysGoWhereKafkaPutsThem(t *testing.T) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for key, want := range map[string]int{"21": 0, "foobar": 0, "user_123": 5, "customer_456": 4} {
		if got := p.Partition(&kgo.Record{Key: []byte(key)}, 6); got != want {
			t.Errorf("key %s: partition %d, want %d", key, got, want)
		}
	}
}

func TestCompleteRecord(t *testing.T) {
	for _, tc := range []struct {
		name               string
		o                  produceOptions
		r                  kgo.Record
		keyNull, valueNull bool
	}{
		{"a line", produceOptions{format: `%v\n`}, kgo.Record{Value: []byte("v")}, true, false},
		{"an empty line is an empty value", produceOptions{format: `%v\n`}, kgo.Record{}, true, false},
		{"a tombstone", produceOptions{format: `%v\n`, hasKey: true, key: "k", null: true}, kgo.Record{}, false, true},
		{"an empty key", produceOptions{format: `%k\t%v\n`}, kgo.Record{Value: []byte("v")}, false, false},
		{"an empty key as none", produceOptions{format: `%k\t%v\n`, null: true}, kgo.Record{Value: []byte("v")}, true, false},
		{"an empty key by flag", produceOptions{format: `%v\n`, hasKey: true}, kgo.Record{Value: []byte("v")}, false, false},
	} {
		tc.o.complete(&tc.r, nil)
		if (tc.r.Key == nil) != tc.keyNull || (tc.r.Value == nil) != tc.valueNull {
			t.Errorf("%s: key %v, value %v", tc.name, tc.r.Key, tc.r.Value)
		}
	}
}

func TestParseHeaders(t *testing.T) {
	got, err := parseHeaders([]string{"a=1", "b:2", "t=12:30", "u:http://x?y=z", "e="})
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"a", "1"}, {"b", "2"}, {"t", "12:30"}, {"u", "http://x?y=z"}, {"e", ""}}
	for i, h := range got {
		if h.Key != want[i][0] || string(h.Value) != want[i][1] {
			t.Errorf("header %d: %s=%s, want %v", i, h.Key, h.Value, want[i])
		}
	}
	for _, bad := range []string{"", "a", "=1"} {
		if _, err := parseHeaders([]string{bad}); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}
