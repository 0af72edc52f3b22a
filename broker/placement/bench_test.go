package placement

import (
	"context"
	"testing"
)

// BenchmarkLook is a look over 3,000 groups, of which this broker leads 1,000 and all is well.
func BenchmarkLook(b *testing.B) {
	w := newWorld(&testing.T{}, brokers("", "", ""))
	parts, err := Place(brokers("", "", ""), NewLoad(), nil, 3000, 3)
	if err != nil {
		b.Fatal(err)
	}
	w.topic("t", parts...)
	b.ReportAllocs()
	for b.Loop() {
		w.keepers[1].look(context.Background())
	}
	if n := len(w.keepers[1].busy); n > 0 {
		b.Fatalf("%d changes of what is as it should be", n)
	}
}

// BenchmarkPlace is one topic of 3,000 partitions on seven brokers.
func BenchmarkPlace(b *testing.B) {
	nodes := brokers("a", "b", "c", "a", "b", "c", "a")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Place(nodes, NewLoad(), nil, 3000, 3); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlanDrain plans 20,000 partitions.
func BenchmarkPlanDrain(b *testing.B) {
	nodes := brokers("a", "b", "c", "a", "b", "c", "a")
	image := newImage(nodes)
	all, err := Place(nodes, NewLoad(), nil, 20000, 3)
	if err != nil {
		b.Fatal(err)
	}
	addTopic(image, "t", all...)
	for b.Loop() {
		if _, err := PlanDrain(image, nodes, 1); err != nil {
			b.Fatal(err)
		}
	}
}
