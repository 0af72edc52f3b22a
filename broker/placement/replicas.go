package placement

import (
	"context"
	"slices"
	"time"
)

// Member is a replica as the leader of its group sees it.
type Member struct {
	Server   ServerID `json:"s"`
	Voter    bool     `json:"v"`
	Behind   uint64   `json:"n"`  // entries of the log that it is not known to have
	BehindMS int64    `json:"ms"` // since it last had all of it; 0: it has; -1: never under this leader
}

// Replicas asks the leaders of partitions how far their replicas are. What nobody could tell of is left out.
func (k *Keeper) Replicas(ctx context.Context, ids []ID) map[ID][]Member {
	image := k.options.Controller.Image()
	at := map[ServerID][]ID{}
	for _, id := range ids {
		if b, ok := image.Brokers[k.options.Peers.Leader(id)]; ok {
			at[ServerOf(b)] = append(at[ServerOf(b)], id)
		}
	}
	answered := make(chan []replicasItem)
	calls := 0
	for leader, all := range at {
		for some := range slices.Chunk(all, MaxCallItems) {
			calls++
			go func() { answered <- k.replicasAt(ctx, leader, some) }()
		}
	}
	members := map[ID][]Member{}
	for range calls {
		for _, it := range <-answered {
			if it.Members != nil {
				members[it.id()] = it.Members
			}
		}
	}
	return members
}

func (k *Keeper) replicasAt(ctx context.Context, leader ServerID, ids []ID) []replicasItem {
	names := make([]partitionName, len(ids))
	for i, id := range ids {
		names[i] = nameOf(id)
	}
	if leader == k.options.Self {
		return k.replicasHere(names)
	}
	body, err := k.options.Peers.CallReplicas(ctx, leader, encode(names))
	if err != nil {
		return nil
	}
	items, err := decodeItems[replicasItem](body)
	if err != nil {
		k.options.Logger.Warn("cannot read what a broker tells of its replicas", "server", leader, "err", err)
	}
	return items
}

// HandleReplicas answers calls of Replicas (transport.MethodReplicas).
func (k *Keeper) HandleReplicas(_ context.Context, _ ServerID, body []byte) ([]byte, error) {
	names, err := decodeItems[partitionName](body)
	if err != nil {
		return nil, err
	}
	return encode(k.replicasHere(names)), nil
}

func (k *Keeper) replicasHere(names []partitionName) []replicasItem {
	now := k.options.Now()
	items := make([]replicasItem, len(names))
	for i, name := range names {
		items[i].partitionName = name
		if g := k.options.Groups.Get(name.id()); g != nil {
			items[i].Members = membersOf(g, k.options.Self, now)
		}
	}
	return items
}

// membersOf is nil where this server does not lead.
func membersOf(g Group, self ServerID, now time.Time) []Member {
	st := g.Status()
	if !st.Serves {
		return nil
	}
	var all []Member
	for i, id := range slices.Concat(st.Voters, st.Learners) {
		m := Member{Server: id, Voter: i < len(st.Voters)}
		match, at := g.Match(id)
		switch {
		case id == self || match >= st.LastIndex:
		case at.IsZero():
			m.Behind, m.BehindMS = uint64(st.LastIndex-match), -1
		default:
			m.Behind, m.BehindMS = uint64(st.LastIndex-match), now.Sub(at).Milliseconds()
		}
		all = append(all, m)
	}
	return all
}
