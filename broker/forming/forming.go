// Package forming decides how a broker comes to a cluster: founds one together with the other seeds, or joins the one that they are
// in. It has no I/O: who asks the seeds, and does what is decided, is the broker.
//
// What always holds: a cluster is founded only by the seed with the lowest broker id, after every seed has answered that it is in none. So a
// broker that cannot reach the others waits, rather than found a second cluster beside them.
package forming

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quirelog/quire/replication/controller"
)

// Limits of a Hello: bytes, and brokers that it tells of.
const (
	MaxBytes   = 32 << 10
	maxBrokers = 64
	maxSeeds   = 64
	maxText    = 255
)

// Hello is what brokers say to each other before they know to be of one cluster.
type Hello struct {
	ClusterID string              `json:"cluster_id,omitempty"` // "": in none yet
	Self      controller.Broker   `json:"self"`
	Seeds     []string            `json:"seeds,omitempty"`   // as configured
	Brokers   []controller.Broker `json:"brokers,omitempty"` // others that it knows: where they listen
}

// Server is the teller's name in Raft groups.
func (h *Hello) Server() string { return fmt.Sprintf("%d-%s", h.Self.ID, h.Self.Incarnation) }

// Encode never fails: brokers beyond what fits are left out.
func (h Hello) Encode() []byte {
	h.Brokers = h.Brokers[:min(len(h.Brokers), maxBrokers)]
	h.Seeds = h.Seeds[:min(len(h.Seeds), maxSeeds)]
	for {
		b, err := json.Marshal(h)
		if err != nil {
			panic(fmt.Errorf("encode hello: %w", err)) // strings and numbers
		}
		if len(b) <= MaxBytes || len(h.Brokers) == 0 {
			return b
		}
		h.Brokers = h.Brokers[:len(h.Brokers)/2]
	}
}

var errHello = errors.New("bad hello")

// Decode reads what Encode wrote.
func Decode(b []byte) (Hello, error) {
	var h Hello
	if len(b) > MaxBytes {
		return h, fmt.Errorf("%w: %d bytes, the limit is %d", errHello, len(b), MaxBytes)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("%w: %w", errHello, err)
	}
	if len(h.Brokers) > maxBrokers || len(h.Seeds) > maxSeeds || len(h.ClusterID) > maxText {
		return h, fmt.Errorf("%w: %d brokers, %d seeds", errHello, len(h.Brokers), len(h.Seeds))
	}
	for _, br := range append([]controller.Broker{h.Self}, h.Brokers...) {
		if br.ID < 0 || br.Incarnation == "" || br.RPCAddr == "" ||
			max(len(br.Incarnation), len(br.RPCAddr), len(br.Host), len(br.Rack)) > maxText {
			return h, fmt.Errorf("%w: broker %d", errHello, br.ID)
		}
	}
	return h, nil
}

// Plan is what to do now.
type Plan struct {
	Cluster  string              // to join; "": none
	Founders []controller.Broker // to found a cluster with, by id
	Wait     string              // else why to wait
}

// Decide says what a broker that is in no cluster does, by what the seeds have answered, its own address included; a seed that has
// not answered is missing. An error is a fault in somebody's configuration that waiting does not mend.
func Decide(self Hello, answers map[string]Hello) (Plan, error) {
	if len(self.Seeds) == 0 {
		return Plan{Founders: []controller.Broker{self.Self}}, nil
	}
	cluster, err := oneCluster(self, answers)
	if err != nil || cluster != "" {
		return Plan{Cluster: cluster}, err
	}
	if missing := unanswered(self.Seeds, answers); len(missing) > 0 {
		return Plan{Wait: "no answer yet from " + strings.Join(missing, ", ")}, nil
	}
	founders, err := founders(self, answers)
	if err != nil {
		return Plan{}, err
	}
	switch {
	case !slices.ContainsFunc(founders, func(b controller.Broker) bool { return b == self.Self }):
		return Plan{Wait: "the seeds have not formed their cluster yet"}, nil
	case founders[0].ID != self.Self.ID:
		return Plan{Wait: fmt.Sprintf("broker %d has not founded the cluster yet", founders[0].ID)}, nil
	}
	return Plan{Founders: founders}, nil
}

// oneCluster is the cluster that answers name; "" if none does.
func oneCluster(self Hello, answers map[string]Hello) (string, error) {
	cluster, from := "", ""
	for _, seed := range self.Seeds {
		a, ok := answers[seed]
		switch {
		case !ok || a.ClusterID == "":
		case cluster == "":
			cluster, from = a.ClusterID, seed
		case a.ClusterID != cluster:
			return "", fmt.Errorf("seed %s is of cluster %s, and seed %s of cluster %s: seeds must name brokers of one cluster",
				from, cluster, seed, a.ClusterID)
		}
	}
	return cluster, nil
}

func unanswered(seeds []string, answers map[string]Hello) (missing []string) {
	for _, seed := range seeds {
		if _, ok := answers[seed]; !ok {
			missing = append(missing, seed)
		}
	}
	return missing
}

// founders are the seeds as brokers, by id.
func founders(self Hello, answers map[string]Hello) ([]controller.Broker, error) {
	var all []controller.Broker
	want := slices.Sorted(slices.Values(self.Seeds))
	for _, seed := range self.Seeds {
		a := answers[seed]
		if have := slices.Sorted(slices.Values(a.Seeds)); !slices.Equal(have, want) {
			return nil, fmt.Errorf("seeds of the broker at %s are %s, here they are %s: the first brokers of a cluster need the same list",
				seed, strings.Join(have, ","), strings.Join(want, ","))
		}
		all = append(all, a.Self)
	}
	slices.SortFunc(all, func(a, b controller.Broker) int { return int(a.ID) - int(b.ID) })
	for i := range all[1:] {
		if all[i].ID == all[i+1].ID {
			return nil, fmt.Errorf("the brokers at %s and %s both have node-id %d: each needs its own", all[i].RPCAddr, all[i+1].RPCAddr, all[i].ID)
		}
	}
	return all, nil
}
