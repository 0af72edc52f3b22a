package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
)

// raftLogger hands the Raft library's messages to slog, two steps lower: what is worth a line to it (an election, a snapshot)
// is detail here, and its warnings are mostly about elections that the broker calls itself.
type raftLogger struct {
	hclog.Logger // the null logger: names and levels are slog's affair
	slog         *slog.Logger
}

func newRaftLogger(l *slog.Logger) *raftLogger {
	return &raftLogger{Logger: hclog.NewNullLogger(), slog: l}
}

// Log writes one message.
func (r *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Error && !transport.SaidOfPeers(msg) && !slices.Contains(args, any(raft.ErrLogNotFound)) {
		to = slog.LevelError
	}
	if !r.slog.Enabled(context.Background(), to) {
		return
	}
	attrs := make([]any, len(args))
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		attrs[i] = a
	}
	r.slog.Log(context.Background(), to, "raft: "+msg, attrs...)
}

func (r *raftLogger) Trace(msg string, args ...any) { r.Log(hclog.Trace, msg, args...) }
func (r *raftLogger) Debug(msg string, args ...any) { r.Log(hclog.Debug, msg, args...) }
func (r *raftLogger) Info(msg string, args ...any)  { r.Log(hclog.Info, msg, args...) }
func (r *raftLogger) Warn(msg string, args ...any)  { r.Log(hclog.Warn, msg, args...) }
func (r *raftLogger) Error(msg string, args ...any) { r.Log(hclog.Error, msg, args...) }

func (r *raftLogger) With(args ...any) hclog.Logger  { return newRaftLogger(r.slog.With(args...)) }
func (r *raftLogger) Named(string) hclog.Logger      { return r }
func (r *raftLogger) ResetNamed(string) hclog.Logger { return r }
