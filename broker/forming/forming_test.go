package forming

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quirelog/quire/replication/controller"
)

var seeds = []string{"a:1", "b:1", "c:1"}

func hello(id int32, cluster string) Hello {
	br := controller.Broker{ID: id, Host: "h", Port: 9092, RPCAddr: seeds[id%3], Incarnation: fmt.Sprint("i", id)}
	return Hello{ClusterID: cluster, Self: br, Seeds: seeds}
}

func TestDecide(t *testing.T) {
	one, two, three := hello(1, ""), hello(2, ""), hello(3, "")
	others := func(list ...string) Hello { h := hello(3, ""); h.Seeds = list; return h }
	for _, tt := range []struct {
		name    string
		self    Hello
		answers map[string]Hello
		want    Plan
		err     string
	}{
		{name: "alone", self: Hello{Self: one.Self}, want: Plan{Founders: []controller.Broker{one.Self}}},
		{name: "nobody answers", self: one, want: Plan{Wait: "no answer yet from a:1, b:1, c:1"}},
		{name: "one is missing", self: one, answers: map[string]Hello{"a:1": one, "b:1": two}, want: Plan{Wait: "no answer yet from c:1"}},
		{name: "the lowest founds", self: one, answers: map[string]Hello{"a:1": three, "b:1": one, "c:1": two},
			want: Plan{Founders: []controller.Broker{one.Self, two.Self, three.Self}}},
		{name: "the others wait", self: two, answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": three},
			want: Plan{Wait: "broker 1 has not founded the cluster yet"}},
		{name: "it is founded", self: two, answers: map[string]Hello{"a:1": hello(1, "x")}, want: Plan{Cluster: "x"}},
		{name: "the lowest lost its disk", self: one, answers: map[string]Hello{"a:1": one, "b:1": hello(2, "x"), "c:1": hello(3, "x")},
			want: Plan{Cluster: "x"}},
		{name: "no seed itself", self: hello(4, ""), answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": three},
			want: Plan{Wait: "the seeds have not formed their cluster yet"}},
		{name: "no seed itself, of a lower id", self: hello(0, ""), answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": three},
			want: Plan{Wait: "the seeds have not formed their cluster yet"}},
		{name: "two clusters", self: one, answers: map[string]Hello{"a:1": hello(1, "x"), "b:1": hello(2, "y")}, err: "seeds must name brokers of one cluster"},
		{name: "other seeds", self: one, answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": others("c:1")}, err: "need the same list"},
		{name: "the same seeds in another order", self: one, answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": others("c:1", "b:1", "a:1")},
			want: Plan{Founders: []controller.Broker{one.Self, two.Self, three.Self}}},
		{name: "one id twice", self: one, answers: map[string]Hello{"a:1": one, "b:1": two, "c:1": two}, err: "both have node-id 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decide(tt.self, tt.answers)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got.Cluster != tt.want.Cluster || got.Wait != tt.want.Wait || !slices.Equal(got.Founders, tt.want.Founders) {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// TestOneCluster lets brokers ask each other in any order, with questions that get lost and brokers that begin anew, and counts the foundings.
func TestOneCluster(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		brokers := []Hello{hello(1, ""), hello(2, ""), hello(3, "")}
		heard := []map[string]Hello{{}, {}, {}}
		founded := 0
		for range 200 {
			i, j := rng.IntN(3), rng.IntN(3)
			if rng.IntN(3) == 0 {
				clear(heard[i]) // it forgets: each round asks anew
				continue
			}
			heard[i][seeds[j]] = brokers[j]
			if brokers[i].ClusterID != "" {
				continue
			}
			plan, err := Decide(brokers[i], heard[i])
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Founders) > 0 {
				founded++
				brokers[i].ClusterID = fmt.Sprint("cluster-", founded)
			} else if plan.Cluster != "" {
				brokers[i].ClusterID = plan.Cluster
			}
		}
		if founded > 1 {
			t.Fatalf("seed %d: %d clusters were founded", seed, founded)
		}
	}
}

func TestHelloThereAndBack(t *testing.T) {
	h := hello(1, "x")
	for n := range int32(200) {
		br := h.Self
		br.ID, br.Host = n, strings.Repeat("h", 255)
		h.Brokers = append(h.Brokers, br)
	}
	b := h.Encode()
	got, err := Decode(b)
	if err != nil || got.Self != h.Self || got.ClusterID != "x" || len(got.Brokers) == 0 || len(b) > MaxBytes {
		t.Fatalf("%d bytes, %d brokers: %v", len(b), len(got.Brokers), err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(hello(1, "x").Encode())
	f.Add([]byte(`{"self":{"id":-1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := Decode(h.Encode()); err != nil || again.Self != h.Self {
			t.Fatalf("%+v came back as %+v: %v", h, again, err)
		}
	})
}
