package boltcheck

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// database makes a file with a small bucket, which lies within the root page, and one of several levels.
func database(t testing.TB) (b []byte, want map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]string{}
	put := func(tx *bbolt.Tx, bucket string, n, size int) error {
		bk, err := tx.CreateBucketIfNotExists([]byte(bucket))
		for i := 0; i < n && err == nil; i++ {
			key, value := fmt.Sprintf("key-%05d", i), fmt.Sprintf("%0*d", size, i)
			want[bucket+key] = value
			err = bk.Put([]byte(key), []byte(value))
		}
		return err
	}
	for _, c := range []struct {
		bucket  string
		n, size int
	}{{"small", 3, 10}, {"large", 600, 100}, {"huge", 2, 20_000}} {
		if err := db.Update(func(tx *bbolt.Tx) error { return put(tx, c.bucket, c.n, c.size) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, want
}

func TestWalk(t *testing.T) {
	b, want := database(t)
	err := Walk(b, func(p Pair) error {
		if got := want[p.Bucket+string(p.Key)]; got != string(p.Value) || string(b[p.At:][:len(got)]) != got {
			t.Errorf("%s %s at byte %d: %.20q", p.Bucket, p.Key, p.At, p.Value)
		}
		delete(want, p.Bucket+string(p.Key))
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Fatalf("%v; missing: %d", err, len(want))
	}
	if err := CheckMetas(b); err != nil {
		t.Error(err)
	}
	b[pageHeader+50]++
	if d, ok := errors.AsType[*Damage](CheckMetas(b)); !ok || d.At != 0 {
		t.Errorf("a damaged meta page: %v", d)
	}
	if err := Walk(b[:len(b)/2], func(Pair) error { return nil }); err == nil {
		t.Error("half a file is taken")
	}
}

func FuzzWalk(f *testing.F) {
	b, _ := database(f)
	f.Add(0, byte(1))
	f.Add(5000, byte(255))
	f.Fuzz(func(t *testing.T, at int, change byte) {
		c := append([]byte(nil), b...)
		c[uint(at)%uint(len(c))] ^= change
		n := 0
		_ = Walk(c, func(Pair) error { n++; return nil })
		if n > len(b) {
			t.Errorf("%d pairs", n)
		}
	})
}
