package broker

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
)

// seedListeners are listeners for the brokers of a cluster, and their addresses.
func seedListeners(t *testing.T, n int) (listeners []net.Listener, seeds []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, seeds = append(listeners, ln), append(seeds, ln.Addr().String())
	}
	return listeners, seeds
}

// startSeeds starts brokers side by side until wait is over, and returns why each did not start. Those that did are closed.
func startSeeds(t *testing.T, wait time.Duration, listeners []net.Listener, cfgs []config.Config) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	errs := make([]error, len(cfgs))
	var all sync.WaitGroup
	for i := range cfgs {
		all.Go(func() {
			var b *Broker
			if b, errs[i] = Start(ctx, cfgs[i], Options{RPCListener: listeners[i]}); errs[i] == nil {
				closeBroker(t, b)
			}
		})
	}
	all.Wait()
	return errs
}

func seedConfig(t *testing.T, id int32, seeds []string) config.Config {
	cfg := testConfig(t.TempDir())
	cfg.NodeID, cfg.Seeds, cfg.HTTPAddr = id, seeds, ""
	return cfg
}

// A cluster is founded by all of its seeds or not at all, and who waits says for whom.
func TestSeedsWaitForEachOther(t *testing.T) {
	listeners, seeds := seedListeners(t, 3)
	listeners[2].Close()
	for i, err := range startSeeds(t, time.Second, listeners[:2], []config.Config{seedConfig(t, 1, seeds), seedConfig(t, 2, seeds)}) {
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer yet from "+seeds[2]) {
			t.Errorf("broker %d: %v", i+1, err)
		}
	}
}

func TestSeedsThatDoNotFit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(second *config.Config)
		want   string
	}{
		{"another secret", func(c *config.Config) { c.Secret = "another secret than the other's" }, "secret"},
		{"the same id", func(c *config.Config) { c.NodeID = 1 }, "both have node-id 1"},
		{"other seeds", func(c *config.Config) { c.Seeds = append(c.Seeds[:1:1], c.Seeds[1], "127.0.0.1:1") }, "need the same list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listeners, seeds := seedListeners(t, 2)
			first, second := seedConfig(t, 1, seeds), seedConfig(t, 2, seeds)
			tt.change(&second)
			errs := startSeeds(t, time.Second, listeners, []config.Config{first, second})
			if errs[0] == nil || errs[1] == nil || !strings.Contains(errs[0].Error(), tt.want) {
				t.Errorf("got %v\nand %v, want %q", errs[0], errs[1], tt.want)
			}
		})
	}
}

// A broker that is unregistered while it runs registers again.
func TestWhoRunsStaysRegistered(t *testing.T) {
	listeners, seeds := seedListeners(t, 2)
	brokers := make([]*Broker, 2)
	var all sync.WaitGroup
	for i := range brokers {
		all.Go(func() {
			b, err := Start(testContext(t), seedConfig(t, int32(i+1), seeds), Options{RPCListener: listeners[i]})
			if err != nil {
				t.Error(err)
				return
			}
			brokers[i] = b
			t.Cleanup(func() { closeBroker(t, b) })
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	before := brokers[0].controller.Image()
	if err := brokers[0].controller.UnregisterBroker(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "broker 2 is back", func() bool {
		i := brokers[0].controller.Image()
		return i.Version > before.Version+1 && brokers[1].registered(i)
	})
}
