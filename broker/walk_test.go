package broker

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill gives every field of v a random value.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				fill(r, f)
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(string(pattern(r.IntN(200))))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> (64 - v.Type().Bits()))
	}
}

// Every key of the dispatch table has a shape, and it is the one that the encoder writes, to the last byte, at every version.
func TestShapesAreWhatTheEncoderWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, row := range apis() {
		if shapes[row.key] == nil {
			t.Errorf("%s has no shape", row.key.Name())
			continue
		}
		for version := row.min; version <= row.max; version++ {
			for range 50 {
				msg := row.key.Request()
				fill(r, reflect.ValueOf(msg).Elem())
				msg.SetVersion(version)
				body := msg.AppendTo(nil)
				w := walker{b: body, version: version, flexible: msg.IsFlexible()}
				if w.walk(shapes[row.key]); w.err != nil || len(w.b) > 0 {
					t.Fatalf("%s version %d: %v, %d bytes left of %d: %+v", row.key.Name(), version, w.err, len(w.b), len(body), msg)
				}
				if len(body) > 0 && checkBody(msg, body[:len(body)-1]) == nil {
					t.Fatalf("%s version %d: passes without its last byte", row.key.Name(), version)
				}
			}
		}
	}
}

// A count that is not followed by what it counts is refused at once.
func TestAnnouncedCountsAreRefused(t *testing.T) {
	const huge = "\xff\xff\xff\xff\x0f" // 2^32-1 as a compact count
	for _, tt := range []struct {
		name    string
		key     kmsg.Key
		version int16
		body    string
	}{
		{"tags", kmsg.ApiVersions, 4, "\x02a\x021" + huge},
		{"tags of a tagged struct", kmsg.Fetch, 18, "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00" +
			"\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x01" + "\x01" + "\x01" + "\x01" + "\x01\x11" + "\x00\x00\x00\x01" +
			"\x00\x00\x00\x00\x00\x00\x00\x00" + huge},
		{"array", kmsg.Metadata, 0, "\x7f\xff\xff\xff"},
		{"compact array", kmsg.Metadata, 9, huge},
		{"elements", kmsg.DeleteTopics, 0, "\x00\x06\x1a\x81" + string(make([]byte, 900_000)) + "\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg := tt.key.Request()
			msg.SetVersion(tt.version)
			began := time.Now()
			if err := checkBody(msg, []byte(tt.body)); err == nil {
				t.Error("it passes")
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
