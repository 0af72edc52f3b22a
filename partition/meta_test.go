package partition

import (
	"errors"
	"testing"
)

var goldenID = ID{Topic: [16]byte{0: 0xde, 1: 0xad, 15: 0x01}, Partition: 12}

const goldenMeta = "quire partition 1\ntopic-id dead0000000000000000000000000001\npartition 12\ncrc32c f5b137fd\n"

func TestMetaGolden(t *testing.T) {
	if got := string(encodeMeta(goldenID)); got != goldenMeta {
		t.Fatalf("encoded\n%s, want\n%s", got, goldenMeta)
	}
	if id, err := decodeMeta([]byte(goldenMeta)); err != nil || id != goldenID {
		t.Fatalf("decoded %v, %v", id, err)
	}
	for i := range goldenMeta {
		b := []byte(goldenMeta)
		b[i] ^= 1
		if _, err := decodeMeta(b); !errors.Is(err, errMeta) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := decodeMeta(b[:i]); !errors.Is(err, errMeta) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
	}
}

func TestDeletedName(t *testing.T) {
	name := deletedName(goldenID)
	if want := "dead0000000000000000000000000001-12.deleted"; name != want {
		t.Fatalf("%s, want %s", name, want)
	}
	if id, ok := parseDeletedName(name); !ok || id != goldenID {
		t.Fatalf("parsed %v, %v", id, ok)
	}
	for _, other := range []string{"", ".deleted", "orders-0", "orders-0.deleted", "x.deleted-0", name + ".deleted",
		"dead0000000000000000000000000001-12", "dead0000000000000000000000000001-012.deleted",
		"DEAD0000000000000000000000000001-12.deleted", "dead0000000000000000000000000001--1.deleted"} {
		if id, ok := parseDeletedName(other); ok {
			t.Errorf("%q parsed as %v", other, id)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(goldenMeta))
	f.Fuzz(func(t *testing.T, b []byte) { checkMeta(t, b) })
}

func checkMeta(t testing.TB, b []byte) {
	id, err := decodeMeta(b)
	if err == nil && string(encodeMeta(id)) != string(b) {
		t.Fatalf("%q decoded as %v", b, id)
	}
}
