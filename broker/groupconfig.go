package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupKey is a configuration key of a consumer group: for that group it counts in place of the broker's.
type groupKey struct {
	name, broker string
	min          int64 // ms
	doc          string
	of           func(*consumer.Timing) *time.Duration
}

// groupKeys are the keys that a consumer group may set (a GROUP resource), by name.
var groupKeys = []groupKey{
	{"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms", 0,
		"Least time in milliseconds between two assignments that are computed for the group.",
		func(t *consumer.Timing) *time.Duration { return &t.Interval }},
	{"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", 1,
		"How often in milliseconds the group's members are told to send heartbeats.",
		func(t *consumer.Timing) *time.Duration { return &t.Heartbeat }},
	{"consumer.session.timeout.ms", "group.consumer.session.timeout.ms", 1,
		"How long in milliseconds a member of the group may be silent before it is removed.",
		func(t *consumer.Timing) *time.Duration { return &t.Session }},
}

// maxGroupTime bounds the times of groups, as those of the broker are bounded.
const maxGroupTime = 30 * 24 * time.Hour

// maxDigits is the longest value of a group's key: all of them are kept in memory.
const maxDigits = 20

func findGroupKey(name string) *groupKey {
	for i := range groupKeys {
		if groupKeys[i].name == name {
			return &groupKeys[i]
		}
	}
	return nil
}

// groupTiming is t with what values set. What is at fault stays as it is in t.
func groupTiming(t consumer.Timing, values map[string]string) (consumer.Timing, error) {
	var faults []error
	for name, value := range values {
		k := findGroupKey(name)
		if k == nil {
			faults = append(faults, fmt.Errorf("%w: unknown group config name: %s", errGroupConfig, name))
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || len(value) > maxDigits || n < k.min || n > maxGroupTime.Milliseconds() {
			faults = append(faults, fmt.Errorf("%w: invalid value %s for configuration %s: must be a number from %d to %d",
				errGroupConfig, value, name, k.min, maxGroupTime.Milliseconds()))
			continue
		}
		*k.of(&t) = time.Duration(n) * time.Millisecond
	}
	if len(faults) == 0 && t.Heartbeat >= t.Session {
		faults = append(faults, fmt.Errorf("%w: consumer.heartbeat.interval.ms is not below consumer.session.timeout.ms", errGroupConfig))
	}
	return t, errors.Join(faults...)
}

// timing is what a group has in place of the broker's times, if it has a configuration.
func (g *groups) timing(group string) (consumer.Timing, bool) {
	values := g.b.controller.Image().GroupConfigs[group]
	if len(values) == 0 {
		return consumer.Timing{}, false
	}
	// Keys that this version does not know were set by a newer one: the ones it knows still count.
	t, _ := groupTiming(g.usualTiming(), values)
	return t, true
}

func (g *groups) usualTiming() consumer.Timing {
	cfg := &g.b.cfg.Groups
	return consumer.Timing{Session: cfg.Session, Heartbeat: cfg.Heartbeat, Interval: cfg.Interval}
}

// checkGroupName refuses what cannot have a configuration. There is no default of all groups.
func checkGroupName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: group name must not be empty", errInvalidRequest)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: group name is not UTF-8", errInvalidRequest)
	}
	return nil
}

// alterGroup changes the configuration of a consumer group, which need not exist. It counts from the group's next heartbeat on.
func (b *Broker) alterGroup(ctx context.Context, a *alteration, validateOnly bool) error {
	if err := checkGroupName(a.name); err != nil {
		return err
	}
	b.topicChange.Lock() // so that the configuration is still as it was checked
	defer b.topicChange.Unlock()
	configs := b.controller.Image().GroupConfigs
	list, err := a.changes(configs[a.name])
	if err != nil {
		return err
	}
	want := changed(configs[a.name], list)
	if _, err := groupTiming(b.groups.usualTiming(), want); err != nil {
		return err
	}
	if configs[a.name] == nil && len(configs) >= maxGroupConfigs {
		return fmt.Errorf("%w: more than %d groups would have a configuration", errInvalidRequest, maxGroupConfigs)
	}
	if validateOnly || maps.Equal(want, configs[a.name]) {
		return nil
	}
	if err := b.controller.AlterGroupConfigs(ctx, a.name, list); err != nil {
		return fmt.Errorf("alter configuration of group %q: %w", a.name, err)
	}
	return nil
}

// describeGroup lists the configuration of a group, which need not exist.
func (b *Broker) describeGroup(image *controller.Image, name string) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	if err := checkGroupName(name); err != nil {
		return nil, err
	}
	var described []kmsg.DescribeConfigsResponseResourceConfig
	for i := range groupKeys {
		k := &groupKeys[i]
		var layers []configLayer
		if v, set := image.GroupConfigs[name][k.name]; set {
			layers = append(layers, synonym(k.name, v, kmsg.ConfigSourceGroupConfig))
		}
		c := describeKey(k.name, topicconfig.Int, append(layers, b.layersOf(image, k.broker)...))
		c.Documentation = &k.doc
		described = append(described, c)
	}
	return described, nil
}
