package broker

import (
	"fmt"
	"strings"

	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
)

// maxTopicName is the length of the longest topic name: with a partition number it still is a file name.
const maxTopicName = 249

// checkTopicName refuses what cannot be a topic's name.
func checkTopicName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the empty string is not allowed", errInvalidTopic)
	case name == "." || name == "..":
		return fmt.Errorf("%w: '%s' is not allowed", errInvalidTopic, name)
	case len(name) > maxTopicName:
		return fmt.Errorf("%w: it is longer than %d characters", errInvalidTopic, maxTopicName)
	case strings.ContainsFunc(name, func(r rune) bool { return !topicNameRune(r) }):
		return fmt.Errorf("%w: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
			errInvalidTopic, name)
	}
	return nil
}

func topicNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

// checkCollision refuses a name that equals another topic's once '.' and '_' are taken for the same, as they are in
// metric names.
func (p *planner) checkCollision(name string) error {
	if !strings.ContainsAny(name, "._") {
		return nil
	}
	if p.folded == nil {
		p.folded = make(map[string]string)
		for other := range p.image.Topics {
			p.fold(other)
		}
	}
	if other, taken := p.folded[foldedName(name)]; taken && other != name {
		return fmt.Errorf("%w: topic '%s' collides with existing topic: %s", errInvalidTopic, name, other)
	}
	return nil
}

func (p *planner) fold(name string) {
	if strings.ContainsAny(name, "._") {
		p.folded[foldedName(name)] = name
	}
}

func foldedName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// topicSpec is a topic that a client wants.
type topicSpec struct {
	name       string
	partitions int32 // -1: the broker's default
	factor     int16 // replication factor; -1: the broker's default
	assignment []assignedReplicas
	configs    map[string]string
}

// assignedReplicas are the brokers that a client wants for one partition.
type assignedReplicas struct {
	partition int32
	replicas  []int32
}

// planner turns topics that clients want into partitions with replicas, or says why not. It plans for one image, and what take
// has noted.
type planner struct {
	image      *controller.Image
	partitions int32              // default
	factor     int16              // default
	perBroker  int                // most partition replicas on one broker
	configs    topicconfig.Config // of a topic that sets nothing

	alive func(placement.ServerID) bool // nil: every broker is

	load   *placement.Load   // nil: not counted yet
	folded map[string]string // topics by foldedName, those that it changes or that others fold to; nil: not looked at yet
}

// take notes a planned topic that is going to be made, so that those planned after it find its place taken. Its name is not
// planned again.
func (p *planner) take(n controller.NewTopic) {
	if p.load != nil {
		p.load.Add(n.Partitions)
	}
	if p.folded != nil {
		p.fold(n.Name)
	}
}

// plan validates the whole of a topic.
func (p *planner) plan(t topicSpec) (controller.NewTopic, error) {
	n := controller.NewTopic{Name: t.name, Configs: t.configs}
	if err := p.checkNew(t); err != nil {
		return n, err
	}
	if _, err := configOf(t.name, p.configs, t.configs); err != nil {
		return n, err
	}
	var err error
	if len(t.assignment) > 0 {
		n.Partitions, err = p.assigned(t)
	} else {
		n.Partitions, err = p.spread(t)
	}
	if err != nil {
		return n, err
	}
	return n, p.checkRoom(n.Partitions)
}

func (p *planner) checkNew(t topicSpec) error {
	if err := checkTopicName(t.name); err != nil {
		return err
	}
	if p.image.Topics[t.name] != nil {
		return fmt.Errorf("%w: '%s'", errTopicExists, t.name)
	}
	return p.checkCollision(t.name)
}

// spread lets the broker choose the replicas.
func (p *planner) spread(t topicSpec) ([]controller.Partition, error) {
	n, factor := t.partitions, t.factor
	if factor == -1 {
		factor = p.factor
	}
	if n == -1 {
		n = p.partitions
	}
	switch {
	case factor <= 0:
		return nil, fmt.Errorf("%w: it must be larger than 0, or -1 to use the default value", errInvalidFactor)
	case n <= 0:
		return nil, fmt.Errorf("%w: it must be larger than 0, or -1 to use the default value", errInvalidPartitions)
	case int(n) > p.perBroker*max(len(p.image.Brokers), 1):
		return nil, p.noRoom(int(n))
	}
	return p.place(int(n), int(factor), nil)
}

// place chooses brokers for n partitions more than a topic has.
func (p *planner) place(n, factor int, have []controller.Partition) ([]controller.Partition, error) {
	nodes := placement.Nodes(p.image, p.alive)
	parts, err := placement.Place(nodes, p.counted(), have, n, factor)
	if err != nil {
		return nil, fmt.Errorf("%w: unable to replicate the partition %d time(s): only %d broker(s) are registered",
			errInvalidFactor, factor, len(nodes))
	}
	return parts, nil
}

// assigned checks a client's own assignment.
func (p *planner) assigned(t topicSpec) ([]controller.Partition, error) {
	switch {
	case t.factor != -1:
		return nil, fmt.Errorf("%w: a manual partition assignment was specified, but replication factor was not set to -1",
			errInvalidRequest)
	case t.partitions != -1:
		return nil, fmt.Errorf("%w: a manual partition assignment was specified, but numPartitions was not set to -1",
			errInvalidRequest)
	}
	parts := make([]controller.Partition, len(t.assignment))
	for _, a := range t.assignment {
		switch {
		case a.partition < 0 || int(a.partition) >= len(parts):
			return nil, fmt.Errorf("%w: partitions should be a consecutive 0-based integer sequence", errInvalidAssignment)
		case parts[a.partition].Replicas != nil:
			return nil, fmt.Errorf("%w: found multiple manual partition assignments for partition %d",
				errInvalidAssignment, a.partition)
		}
		if err := p.checkReplicas(a.replicas, len(t.assignment[0].replicas)); err != nil {
			return nil, err
		}
		parts[a.partition].Replicas = a.replicas
	}
	return parts, nil
}

// checkReplicas checks one partition's assignment; every partition has the same replication factor.
func (p *planner) checkReplicas(replicas []int32, factor int) error {
	if len(replicas) == 0 {
		return fmt.Errorf("%w: the manual partition assignment includes an empty replica list", errInvalidAssignment)
	}
	seen := map[int32]bool{}
	for _, id := range replicas {
		if seen[id] {
			return fmt.Errorf("%w: the manual partition assignment includes the broker %d more than once", errInvalidAssignment, id)
		}
		seen[id] = true
		if _, ok := p.image.Brokers[id]; !ok {
			return fmt.Errorf("%w: the manual partition assignment includes broker %d, but no such broker is registered",
				errInvalidAssignment, id)
		}
	}
	if len(replicas) != factor {
		return fmt.Errorf("%w: inconsistent replication factor between partitions: %d and %d",
			errInvalidAssignment, factor, len(replicas))
	}
	return nil
}

// counted is what every broker has.
func (p *planner) counted() *placement.Load {
	if p.load == nil {
		p.load = placement.LoadOf(p.image)
	}
	return p.load
}

// checkRoom refuses partitions that a broker has no room for.
func (p *planner) checkRoom(add []controller.Partition) error {
	more := placement.NewLoad()
	more.Add(add)
	for id, n := range more.Replicas {
		if total := p.counted().Replicas[id] + n; total > p.perBroker {
			return p.noRoom(total)
		}
	}
	return nil
}

func (p *planner) noRoom(n int) error {
	return fmt.Errorf("%w: a broker would have %d partitions, and takes %d at most, since each takes memory also while it is idle: "+
		"delete topics that nobody needs, or make topics with fewer partitions", errInvalidPartitions, n, p.perBroker)
}

// grow validates that t gets total partitions, and returns the new ones. With an assignment, its lists are the new partitions'.
func (p *planner) grow(t *controller.Topic, total int, assignment [][]int32) ([]controller.Partition, error) {
	have := len(t.Partitions)
	switch {
	case total == have:
		return nil, fmt.Errorf("%w: topic already has %d partition(s)", errInvalidPartitions, have)
	case total < have:
		return nil, fmt.Errorf("%w: the topic %s currently has %d partition(s); %d would not be an increase",
			errInvalidPartitions, t.Name, have, total)
	case total-have > p.perBroker*max(len(p.image.Brokers), 1):
		return nil, p.noRoom(total)
	case assignment != nil && len(assignment) != total-have:
		return nil, fmt.Errorf("%w: attempted to add %d additional partition(s), but %d assignment(s) were specified",
			errInvalidAssignment, total-have, len(assignment))
	}
	factor := len(t.Partitions[0].Replicas)
	var add []controller.Partition
	for _, replicas := range assignment {
		if err := p.checkReplicas(replicas, factor); err != nil {
			return nil, err
		}
		add = append(add, controller.Partition{Replicas: replicas})
	}
	if assignment == nil {
		var err error
		if add, err = p.place(total-have, factor, t.Partitions); err != nil {
			return nil, err
		}
	}
	return add, p.checkRoom(add)
}
