package controller

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestRaftMessagesBecomeDetail(t *testing.T) {
	var out bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l := newRaftLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: drop})))
	l.Warn("election", "term", 2)
	l.With("id", 7).Error("lost", "servers", hclog.Fmt("%+v", []int{1}))
	want := "level=DEBUG msg=\"raft: election\" term=2\nlevel=ERROR msg=\"raft: lost\" id=7 servers=[1]\n"
	if out.String() != want {
		t.Fatalf("got %s want %s", out.String(), want)
	}
	out.Reset()
	l = newRaftLogger(slog.New(slog.NewTextHandler(&out, nil)))
	l.Info("snapshot")
	if out.Len() > 0 {
		t.Fatal(out.String())
	}
}

// TestQuietStart: a first start says nothing at the default level, so that what `quire dev` prints stands alone.
func TestQuietStart(t *testing.T) {
	var out bytes.Buffer
	c, err := Open(testContext(t), Options{Dir: t.TempDir(), Self: testSelf, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, c)
	if out.Len() > 0 {
		t.Fatal(out.String())
	}
}
