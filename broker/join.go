package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/quirelog/quire/broker/forming"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/replication/transport"
)

const (
	askTimeout  = 2 * time.Second
	joinTimeout = 5 * time.Second
	// While a broker waits for others it asks them again, sooner at first, and says so every sayEvery.
	firstAsk = 20 * time.Millisecond
	lastAsk  = time.Second
	sayEvery = 5 * time.Second
)

// enter brings the broker into its cluster, or founds it: after it the directory of the controller is there and the cluster's id is known.
//
// quire.meta is written before the controller's directory is made, and the votes of partitions are written after it. So a crash in between is
// told from a directory of which a part was lost: that one must not take part again under its old name, since it has forgotten its votes.
func (b *Broker) enter(ctx context.Context, m *dirMeta) error {
	dir := filepath.Join(b.cfg.DataDir, controllerDir)
	there, err := controller.Exists(dir)
	if err != nil {
		return fmt.Errorf("open controller: %w", err)
	}
	if !there {
		if err := b.found(ctx, m, dir); err != nil {
			return err
		}
	}
	if m.ClusterID == "" {
		return fmt.Errorf("data directory %s has a controller, but %s has no cluster id: it is not whole, restore it from a backup", b.cfg.DataDir, metaFile)
	}
	b.clusterID = m.ClusterID
	b.cluster.Store(&m.ClusterID)
	b.transport.SetCluster(m.ClusterID)
	return nil
}

// found makes the controller's directory: of a new cluster, or of a member that waits to be told of it.
func (b *Broker) found(ctx context.Context, m *dirMeta, dir string) error {
	if _, err := os.Lstat(filepath.Join(b.cfg.DataDir, replication.VotesFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory %s has votes but no controller: it is not whole, restore it from a backup, or begin with an empty one",
			b.cfg.DataDir)
	}
	if m.ClusterID == "" {
		plan, err := b.form(ctx)
		if err != nil {
			return err
		}
		if m.ClusterID, m.Founders = plan.Cluster, plan.Founders; plan.Cluster == "" {
			m.ClusterID = newUUID()
		}
		if err := m.write(b.cfg.DataDir); err != nil {
			return err
		}
	}
	if len(m.Founders) > 0 {
		if err := controller.Found(dir, m.ClusterID, m.Founders, b.registration); err != nil {
			return fmt.Errorf("found cluster: %w", err)
		}
		b.log.Info("founded a cluster", "cluster", m.ClusterID, "brokers", len(m.Founders))
		return nil
	}
	if err := controller.Enroll(dir, b.registration); err != nil {
		return fmt.Errorf("join cluster %s: %w", m.ClusterID, err)
	}
	b.log.Info("joining a cluster", "cluster", m.ClusterID)
	return nil
}

// form asks the seeds until it is clear what to do.
func (b *Broker) form(ctx context.Context) (forming.Plan, error) {
	w := patience{begun: time.Now(), said: time.Now()}
	var why error // of the last round that was not cut short
	for {
		answers, failures := b.askAll(ctx, b.cfg.Seeds)
		plan, err := forming.Decide(b.hello(), answers)
		switch {
		case ctx.Err() != nil:
			return plan, fmt.Errorf("%w: %w", cmp.Or(why, errors.New("waiting for the cluster")), context.Cause(ctx))
		case err == nil && plan.Wait == "":
			return plan, nil
		case err == nil:
			err = errors.New(plan.Wait)
		}
		if why == nil {
			b.log.Info("waiting for the cluster", "why", err)
		}
		why = errors.Join(fmt.Errorf("waiting for the cluster: %w", err), failures)
		if w.say() {
			b.log.Warn("waiting for the cluster", "why", errors.Join(err, failures), "since", w.since())
		}
		w.pause(ctx)
	}
}

// patience is how a broker waits for others: it asks again after a while that grows, and says now and then that it waits.
type patience struct {
	begun, said time.Time
	asked       int
}

func (w *patience) say() bool {
	now := time.Now()
	if now.Sub(w.said) < sayEvery {
		return false
	}
	w.said = now
	return true
}

func (w *patience) since() time.Duration { return time.Since(w.begun).Round(time.Second) }

func (w *patience) pause(ctx context.Context) {
	d := min(firstAsk<<min(w.asked, 10), lastAsk)
	w.asked++
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// askAll asks brokers side by side who they are; who does not answer is missing, and failures says why.
func (b *Broker) askAll(ctx context.Context, addrs []string) (answers map[string]forming.Hello, failures error) {
	var mu sync.Mutex
	answers = map[string]forming.Hello{}
	failures = sideBySide(addrs, func(addr string) error {
		h, err := b.ask(ctx, addr)
		if err != nil {
			return fmt.Errorf("broker at %s: %w", addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		answers[addr] = h
		return nil
	})
	return answers, failures
}

// stayRegistered introduces the broker at its start, and again when the metadata has it no longer as it is: somebody has unregistered it, though it
// runs.
func (b *Broker) stayRegistered(ctx context.Context) {
	for ctx.Err() == nil {
		b.introduce(ctx)
		for image := b.controller.Image(); ctx.Err() == nil && b.registered(image); image = b.controller.Image() {
			select {
			case <-b.controller.Changed(image):
			case <-ctx.Done():
			}
		}
	}
}

// registered says whether the metadata has this broker as it is now.
func (b *Broker) registered(image *controller.Image) bool {
	return image.Brokers[b.cfg.NodeID] == b.registration
}

// introduce tells others where this broker is, and hears where they are, until one has let it in, which it has to do at each start: the broker may
// have been unregistered while it was away, or have moved. A broker of a cluster that was down as a whole knows nothing but its own
// address book.
func (b *Broker) introduce(ctx context.Context) {
	for w := (patience{begun: time.Now(), said: time.Now()}); ctx.Err() == nil; w.pause(ctx) {
		alone, err := b.introduceOnce(ctx)
		if b.registered(b.controller.Image()) && (alone || err == nil || b.controller.Leads()) {
			return
		}
		if w.say() {
			b.log.Warn("waiting to be let into the cluster: a majority of its controllers must be up", "cluster", b.clusterID,
				"since", w.since(), "err", err)
		}
	}
}

// introduceOnce asks everybody who they are, and those who answer to let this one in, until one does. alone: nobody else is known.
func (b *Broker) introduceOnce(ctx context.Context) (alone bool, _ error) {
	addrs := slices.Clone(b.cfg.Seeds)
	for _, p := range b.peers.all() {
		if !slices.Contains(addrs, p.RPCAddr) {
			addrs = append(addrs, p.RPCAddr)
		}
	}
	answers, failures := b.askAll(ctx, addrs)
	body, err := controller.JoinRequest(b.registration)
	if err != nil {
		return false, err
	}
	errs := []error{failures}
	for _, h := range answers {
		to := serverID(h.Self)
		if h.ClusterID != b.clusterID || to == b.self {
			continue
		}
		call, cancel := context.WithTimeout(ctx, joinTimeout)
		_, err := b.transport.Call(call, to, transport.MethodJoin, body)
		cancel()
		if err == nil {
			return false, nil
		}
		errs = append(errs, fmt.Errorf("broker %d: %w", h.Self.ID, err))
	}
	return len(b.peers.all()) == 0, errors.Join(errs...)
}
