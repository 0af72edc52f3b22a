package cluster

import "context"

// Elector calls elections in groups that have no leader.
type Elector struct {
	o       Options
	leaders *Leaders
}

func newElector(o Options, l *Leaders) *Elector { return &Elector{o: o, leaders: l} }

// HandleStates tells another broker's elector of groups (transport.MethodStates).
func (e *Elector) HandleStates(context.Context, ServerID, []byte) ([]byte, error) {
	return nil, errNotBuilt
}

// HandleElect stands for election in groups where another broker's elector wants it (transport.MethodElect).
func (e *Elector) HandleElect(context.Context, ServerID, []byte) ([]byte, error) {
	return nil, errNotBuilt
}

func (e *Elector) touch(ID)                {}
func (e *Elector) onPeer(ServerID)         {}
func (e *Elector) run(ctx context.Context) { <-ctx.Done() }
