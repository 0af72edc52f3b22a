package replication

import (
	"testing"
	"time"
)

func TestLoneVoterLeadsAtOnce(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	for _, what := range []string{"new", "restarted"} {
		begin := time.Now()
		must(t, s.open())
		s.awaitLead()
		took := time.Since(begin)
		t.Logf("%s: leads after %v", what, took)
		if took > 100*time.Millisecond {
			t.Errorf("%s: leads after %v, want 100 ms at most", what, took)
		}
		s.produce(newBatch(t, 1, 3, 10))
		must(t, s.close())
	}
}
