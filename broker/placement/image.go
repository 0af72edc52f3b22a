package placement

import "github.com/quirelog/quire/replication/controller"

// Wanted are the replicas that a partition has, or is to have where a reassignment is under way; the preferred leader first.
func Wanted(p *controller.Partition) []int32 {
	if reassigning(p) {
		return p.Target
	}
	return p.Replicas
}

// reassigning says whether a reassignment is under way.
func reassigning(p *controller.Partition) bool { return p.Target != nil }

// original is how many replicas the partition had before a reassignment, or has where none is under way.
func original(p *controller.Partition) int {
	if reassigning(p) {
		return len(p.Before)
	}
	return len(p.Replicas)
}
