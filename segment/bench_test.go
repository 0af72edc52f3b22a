package segment

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/quirelog/quire/segment/flush"
)

func osFlusher(tb testing.TB, dir string) *flush.Flusher {
	fl := flush.New(flush.Options{Dir: dir, Mode: flush.OS})
	tb.Cleanup(func() { _ = fl.Close(tb.Context()) })
	return fl
}

// BenchmarkAppend appends one batch a call, as it is under a load of one batch at a time.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			dir := b.TempDir()
			l := openLog(b, filepath.Join(dir, "log"), Options{Flusher: osFlusher(b, dir), SegmentBytes: 64 << 20})
			data := testBatch(b, 1, size-80, 1)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			entries := make([]Entry, 1)
			for i := 0; b.Loop(); i++ {
				if l.Size() > 1<<30 {
					b.StopTimer()
					if err := l.TruncateAfter(0); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				entries[0] = Entry{Index: l.LastIndex() + 1, Term: 1, Data: data}
				if err := l.Append(entries, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead reads chunks of 1 MiB from the start on (replay) and the last batch (a consumer at the end).
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, filepath.Join(dir, "log"), Options{Flusher: osFlusher(b, dir), SegmentBytes: 64 << 20})
	data := testBatch(b, 1, 4000, 1)
	for i := Index(1); i <= 50_000; i++ {
		appendOK(b, l, Entry{Index: i, Term: 1, Data: data})
	}
	b.Run("replay", func(b *testing.B) {
		b.ReportAllocs()
		from := Offset(0)
		for b.Loop() {
			c, err := l.Read(from, l.EndOffset(), 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(c.Len))
			from = (from + Offset(c.Len/len(data))) % (l.EndOffset() - 1000)
			c.Close()
		}
	})
	b.Run("tail", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := l.Read(l.EndOffset()-1, l.EndOffset(), 1<<20)
			if err != nil || c.Len != len(data) {
				b.Fatal(c, err)
			}
			c.Close()
		}
	})
}

// BenchmarkRecover opens logs that were not closed, all at once: 5 MB each, without a checkpoint.
func BenchmarkRecover(b *testing.B) {
	const logs = 50
	dir := b.TempDir()
	fl := osFlusher(b, dir)
	data := testBatch(b, 10, 100, 1)
	var size int64
	for n := range logs {
		l, err := Open(filepath.Join(dir, fmt.Sprint(n)), Options{Flusher: fl})
		if err != nil {
			b.Fatal(err)
		}
		for l.Size() < 5<<20 {
			appendOK(b, l, Entry{Index: l.LastIndex() + 1, Term: 1, Data: data})
		}
		size += l.Size()
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for n := range logs {
			wg.Go(func() {
				l, err := Open(filepath.Join(dir, fmt.Sprint(n)), Options{Flusher: fl})
				if err != nil || l.Recovery().Scanned != l.Size() {
					b.Error(l, err)
				}
			})
		}
		wg.Wait()
	}
}
