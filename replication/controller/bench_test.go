package controller

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

func BenchmarkCreate3000Topics(b *testing.B) {
	for b.Loop() {
		c := mustOpen(b, b.TempDir(), testSelf)
		for n := range 3000 {
			if _, err := c.CreateTopic(context.Background(), NewTopic{Name: fmt.Sprint("topic-", n), Partitions: partitions(4)}); err != nil {
				b.Fatal(err)
			}
		}
		mustClose(b, c)
	}
}

func BenchmarkOpenEmpty(b *testing.B) {
	base := b.TempDir()
	n := 0
	for b.Loop() {
		n++
		c := mustOpen(b, filepath.Join(base, fmt.Sprint(n)), testSelf)
		b.StopTimer()
		mustClose(b, c)
		b.StartTimer()
	}
}

func BenchmarkOpenExisting(b *testing.B) {
	dir := b.TempDir()
	mustClose(b, mustOpen(b, dir, testSelf))
	for b.Loop() {
		c := mustOpen(b, dir, testSelf)
		b.StopTimer()
		mustClose(b, c)
		b.StartTimer()
	}
}

// BenchmarkApply creates topics beside 3,000 others: two map copies a batch, whatever the batch holds.
func BenchmarkApply(b *testing.B) {
	img := &Image{}
	var entries []entry
	for n := range 3000 {
		entries = append(entries, entry{uint64(n + 1), &createTopic{
			Topic: Topic{Name: fmt.Sprint("topic-", n), ID: newUUID(), Partitions: partitions(4)},
		}})
	}
	img, _ = applyEntries(img, entries)
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			var batch []entry
			for n := range size {
				batch = append(batch, entry{5000, &createTopic{Topic: Topic{Name: fmt.Sprint("new-", n), ID: newUUID()}}})
			}
			b.ReportAllocs()
			for b.Loop() {
				applyEntries(img, batch)
			}
		})
	}
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			s, err := encodeSnapshot(img)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(s)))
			if _, err := decodeSnapshot(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
