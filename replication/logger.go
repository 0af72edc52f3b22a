package replication

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hashicorp/go-hclog"

	"github.com/quirelog/quire/replication/transport"
)

// raftLogger lets hashicorp/raft log through slog, quietly: to the library a lone voter that elects itself is a warning, and
// with a thousand groups a start would be a page of them.
type raftLogger struct {
	hclog.Logger // what is not overridden discards
	slog         *slog.Logger
}

func newRaftLogger(l *slog.Logger) hclog.Logger { return raftLogger{hclog.NewNullLogger(), l} }

func (l raftLogger) Info(msg string, args ...any) { l.at(slog.LevelDebug, msg, args) }
func (l raftLogger) Warn(msg string, args ...any) { l.at(slog.LevelDebug, msg, args) }

func (l raftLogger) Error(msg string, args ...any) {
	if transport.SaidOfPeers(msg) {
		l.at(slog.LevelDebug, msg, args)
		return
	}
	l.at(slog.LevelWarn, msg, args)
}

// With adds key-value pairs to what the logger writes.
func (l raftLogger) With(args ...any) hclog.Logger { return raftLogger{l.Logger, l.slog.With(args...)} }

func (l raftLogger) at(level slog.Level, msg string, args []any) {
	if !l.slog.Enabled(context.Background(), level) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	l.slog.Log(context.Background(), level, "raft: "+msg, args...)
}
