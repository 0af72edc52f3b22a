package replication

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

func FuzzManifest(f *testing.F) {
	m := Manifest{
		Checkpoint: segment.Checkpoint{Index: 7, Term: 3, End: 9, Start: 2, State: []byte("state")},
		Files:      []segment.FileRange{{Name: "raft", Len: 100}, {Name: "00000000000000000000.log", Len: 1 << 40}},
	}
	f.Add(encodeManifest(&m))
	f.Add(encodeManifest(&Manifest{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			if !errors.Is(err, errManifest) {
				t.Fatal(err)
			}
			return
		}
		if again := encodeManifest(&m); !slices.Equal(again, b) {
			t.Fatalf("%x is decoded and encoded as %x", b, again)
		}
	})
}

// remoteTo asks a node as another broker would, without a wire.
func remoteTo(n *Node, from ServerID, id GroupID) Source {
	return NewRemoteSource(id, func(ctx context.Context, m transport.Method, body []byte) ([]byte, error) {
		if m == transport.MethodManifest {
			return n.HandleManifest(ctx, from, body)
		}
		return n.HandleRead(ctx, from, body)
	})
}

// Point 2: the files are pulled from another broker: the same manifest is told again until the pull is over, and the files stay.
func TestRemoteSource(t *testing.T) {
	s := loneSource(t)
	from := remoteTo(s.node, "2-a", testGroup)
	m, err := from.Manifest(t.Context())
	must(t, err)
	want, release, err := s.group.Files()
	must(t, err)
	release()
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("manifest %+v, want %+v", m, want)
	}
	s.produce(newBatch(t, 99, 1, 60))
	must(t, s.group.Checkpoint())
	if again, err := from.Manifest(t.Context()); err != nil || !reflect.DeepEqual(again, m) {
		t.Fatalf("asked again: %+v, %v", again, err)
	}
	dir := t.TempDir()
	must(t, Install(t.Context(), InstallOptions{FS: vfs.OS, Dir: dir, Source: from, Chunk: 300}))
	whole := s.content()
	if got := (&server{t: t, fs: vfs.OS, dir: dir}).content(); len(got) == 0 || !slices.Equal(got, whole[:len(got)]) {
		t.Fatalf("the copy has %d bytes, and they are others", len(got))
	}

	s.node.pulls.sweep(time.Now().Add(pullIdle / 2))
	if n := len(s.group.snapshots.pinned); n != 1 {
		t.Fatalf("%d checkpoints are held for one pull", n)
	}
	s.node.pulls.sweep(time.Now().Add(2 * pullIdle))
	if n := len(s.group.snapshots.pinned); n != 0 {
		t.Fatalf("%d checkpoints are held when nobody asks any more", n)
	}
	if _, err := from.ReadAt(t.Context(), m.Files[0].Name, make([]byte, 10), 0); err == nil {
		t.Fatal("read without a manifest")
	}
}

func TestRemoteSourceRefuses(t *testing.T) {
	s := loneSource(t)
	from := remoteTo(s.node, "2-a", testGroup)
	if _, err := remoteTo(s.node, "2-a", GroupID{Partition: 9}).Manifest(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a group that is not open here: %v", err)
	}
	m, err := from.Manifest(t.Context())
	must(t, err)
	for name, at := range map[string]int64{m.Files[0].Name: m.Files[0].Len, "../votes.db": 0, checkpointName(t, s): 0} {
		if n, err := from.ReadAt(t.Context(), name, make([]byte, 10), at); err == nil {
			t.Errorf("%d bytes of %s from byte %d", n, name, at)
		}
	}
	for _, body := range [][]byte{nil, make([]byte, manifestBytes-1), make([]byte, 1<<10)} {
		if _, err := s.node.HandleManifest(t.Context(), "2-a", body); !errors.Is(err, errRequest) {
			t.Errorf("manifest request of %d bytes: %v", len(body), err)
		}
		if _, err := s.node.HandleRead(t.Context(), "2-a", body); !errors.Is(err, errRequest) {
			t.Errorf("read request of %d bytes: %v", len(body), err)
		}
	}
	for range maxPulls - 1 {
		key := pullKey{ServerID(rune(len(s.node.pulls.open))), testGroup}
		s.node.pulls.open[key] = &pull{g: s.group, release: func() {}, used: time.Now()}
	}
	if _, err := remoteTo(s.node, "3-a", testGroup).Manifest(t.Context()); !errors.Is(err, errPulls) {
		t.Errorf("one too many: %v", err)
	}
	liar := NewRemoteSource(testGroup, func(context.Context, transport.Method, []byte) ([]byte, error) {
		return slices.Repeat([]byte{255}, 20), nil
	})
	if _, err := liar.Manifest(t.Context()); !errors.Is(err, errManifest) {
		t.Errorf("a manifest without end: %v", err)
	}
	if _, err := liar.ReadAt(t.Context(), "x", make([]byte, 10), 0); err == nil {
		t.Error("more bytes than were asked for")
	}
}

// checkpointName is a file in the log's directory that is not of the manifest.
func checkpointName(t *testing.T, s *server) string {
	t.Helper()
	entries, err := s.fs.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		if e.Name() == "checkpoint" {
			return e.Name()
		}
	}
	t.Fatal("there is no checkpoint file")
	return ""
}
