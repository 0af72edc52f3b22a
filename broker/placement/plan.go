package placement

import "github.com/quirelog/quire/replication/controller"

// PlanDrain moves every replica away from a broker. ErrUnknownBroker, ErrTooFewBrokers where the others are too few for a
// partition's replicas.
func PlanDrain(image *controller.Image, nodes []Node, broker int32) ([]Move, error) {
	return nil, errNotBuilt
}

// PlanEven moves as few replicas as make the load of all brokers even, a new broker's too; none where it is.
func PlanEven(image *controller.Image, nodes []Node) []Move { return nil }

// PlanInternal raises internal topics to min(3, brokers) replicas. Partitions that are being moved are left alone.
func PlanInternal(image *controller.Image, nodes []Node, internal func(topic string) bool) []Move {
	return nil
}
