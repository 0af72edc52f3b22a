package fuzz

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A bomb decompresses to what it says, and grows 30,000 times.
func TestBomb(t *testing.T) {
	const plain = 40 << 20
	b := Bomb(plain)
	d, err := zstd.NewReader(bytes.NewReader(b[61:]))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n, err := io.Copy(io.Discard, d)
	if err != nil || n < plain || n > plain+100 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if ratio := plain / len(b); ratio < 30_000 {
		t.Errorf("it grows %d times only", ratio)
	}
}
