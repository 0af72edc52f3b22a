package interop

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestManyTopics has every client list all topics of a broker that has many: 1,000, or what QUIRE_INTEROP_TOPICS says
// (the long form: 10,000; a broker takes 20,000 partitions).
func TestManyTopics(t *testing.T) {
	n := 1000
	if s := os.Getenv("QUIRE_INTEROP_TOPICS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	broker := brokerUnderTest(t)
	began := time.Now()
	want := createTopics(t, broker, n)
	t.Logf("%d topics made in %v", n, time.Since(began).Round(time.Millisecond))
	for _, c := range clients(t) {
		l, ok := c.(interface {
			topics(t *testing.T, broker string) map[string]int
		})
		if !ok {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			if got := l.topics(t, broker); !maps.Equal(got, want) {
				t.Errorf("%d topics, want %d", len(got), len(want))
			}
		})
	}
}

// createTopics makes n topics, in requests of 500, and returns their partition counts.
func createTopics(t *testing.T, broker string, n int) map[string]int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	admin.SetTimeoutMillis(60_000)
	all := map[string]int{}
	for len(all) < n {
		var names []string
		for len(names) < 500 && len(all) < n {
			names = append(names, fmt.Sprintf("many-%d", len(all)))
			all[names[len(names)-1]] = 1
		}
		made, err := admin.CreateTopics(t.Context(), 1, 1, nil, names...)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range made {
			if topic.Err != nil {
				t.Fatalf("%s: %v: %s", topic.Topic, topic.Err, topic.ErrMessage)
			}
		}
	}
	return all
}
