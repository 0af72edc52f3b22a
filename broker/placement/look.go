package placement

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
)

// A member's log is level with the leader's where it ends there, or at most LevelEntries before it and had all of it at most
// LevelAge ago. Only who is level becomes a voter, is given a leadership or counts for a majority before a change.
const (
	LevelEntries = 1024
	LevelAge     = 10 * time.Second
)

// MaxLearners is how many learners of the groups that one broker leads are brought up on another at a time.
const MaxLearners = 64

// sight is what the Keeper sees in one look.
type sight struct {
	self     ServerID
	now      time.Time
	image    *controller.Image
	fenced   map[Replica]string
	alive    func(ServerID) bool
	learners map[ServerID]int // live ones that are wanted, of all groups
}

func (k *Keeper) sight() *sight {
	o := &k.options
	alive := map[ServerID]bool{o.Self: true} // one answer a look for each, whatever happens meanwhile
	return &sight{
		self: o.Self, now: o.Now(), image: o.Controller.Image(), fenced: o.Peers.Fenced(), learners: map[ServerID]int{},
		alive: func(id ServerID) bool {
			known, ok := alive[id]
			if !ok {
				known = o.Peers.Alive(id)
				alive[id] = known
			}
			return known
		},
	}
}

// partition is what the image has of id; nil: nothing.
func (v *sight) partition(id ID) *controller.Partition {
	t := v.image.TopicsByID[controller.TopicID(id.Topic)]
	if t == nil || id.Partition < 0 || int(id.Partition) >= len(t.Partitions) {
		return nil
	}
	return &t.Partitions[id.Partition]
}

// state puts together what is known of a group; nil where this server does not lead it, or nobody wants it any longer.
func (v *sight) state(id ID, g Group) *state {
	st := g.Status()
	if !st.Serves {
		return nil
	}
	p := v.partition(id)
	if p == nil {
		return nil
	}
	s := &state{
		id: id, self: v.self, known: true, size: max(original(p), len(Wanted(p))), moving: reassigning(p),
		voters: st.Voters, learners: st.Learners, committed: st.ConfigCommitted,
		alive: v.alive, gone: v.gone,
		fenced: func(server ServerID) bool { return v.fenced[Replica{server, id}] != "" },
		level:  func(server ServerID) bool { return level(g, server, st.LastIndex, v.now) },
		mayAdd: func(server ServerID) bool { return v.learners[server] < MaxLearners },
	}
	for _, broker := range Wanted(p) {
		if b, ok := v.image.Brokers[broker]; ok {
			s.want = append(s.want, ServerOf(b))
			if broker == Wanted(p)[0] {
				s.preferred = ServerOf(b)
			}
		} else {
			s.known = false
		}
	}
	return s
}

// gone says whether nobody will ever come back under this name.
func (v *sight) gone(id ServerID) bool {
	broker, ok := BrokerOf(id)
	b, registered := v.image.Brokers[broker]
	return ok && (!registered || ServerOf(b) != id)
}

// BrokerOf is the broker id in a server id; false where there is none.
func BrokerOf(id ServerID) (int32, bool) {
	text, _, ok := strings.Cut(string(id), "-")
	n, err := strconv.ParseInt(text, 10, 32)
	return int32(n), ok && err == nil
}

func level(g Group, id ServerID, end segment.Index, now time.Time) bool {
	match, at := g.Match(id)
	return match == end || match+LevelEntries >= end && now.Sub(at) <= LevelAge
}

// countLearners notes who is being brought up.
func (v *sight) countLearners(states []*state) {
	for _, s := range states {
		for _, id := range s.learners {
			if v.alive(id) && slices.Contains(s.want, id) {
				v.learners[id]++
			}
		}
	}
}

// settled says that the group has the replicas that are wanted, and nothing is under way.
func (s *state) settled() bool {
	return s.known && s.committed && !s.moving && len(s.learners) == 0 && len(s.voters) == len(s.want) && s.allVote()
}
