package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// A replica that is far behind asks another broker for its manifest, in parts since it holds the producers' state, and then for the
// files. MethodManifest: group and place in the encoded manifest; the answer has its length, 8 bytes, and what comes from that place
// on. MethodRead: group, place in the file, how many bytes, 8 each, and the file's name; the answer is the bytes. Big-endian.
const (
	groupBytes    = 16 + 4
	pieceBytes    = 4 << 20 // of an answer
	maxManifest   = 256 << 20
	maxFileName   = 255
	manifestBytes = groupBytes + 8
	readBytes     = groupBytes + 8 + 8
)

const (
	sweepEvery = 5 * time.Second
	// pullIdle is how long the files of a pull are kept for who asks no more, so that it can be resumed.
	pullIdle = 2 * time.Minute
	maxPulls = 64 // side by side, of all groups
)

var (
	errRequest = errors.New("malformed request for a replica's files")
	errPulls   = fmt.Errorf("%d replicas are being copied from here already", maxPulls)
)

func appendGroup(b []byte, id GroupID) []byte {
	return binary.BigEndian.AppendUint32(append(b, id.Topic[:]...), uint32(id.Partition))
}

func cutGroup(b []byte) (id GroupID, rest []byte) {
	n := copy(id.Topic[:], b)
	id.Partition = int32(binary.BigEndian.Uint32(b[n:]))
	return id, b[groupBytes:]
}

// pull is a copy under way of a group's log to another broker.
type pull struct {
	g        *Group
	to       ServerID
	manifest Manifest
	encoded  []byte
	release  func()
	used     time.Time
}

type pullKey struct {
	to    ServerID
	group GroupID
}

// pulls are those under way from here. A pull ends when its group is closed, when the other has the files' entries and says so to its
// leader, or when nobody has asked for pullIdle.
type pulls struct {
	mu   sync.Mutex
	open map[pullKey]*pull
}

func (ps *pulls) begin(g *Group, to ServerID, now time.Time) (*pull, error) {
	key := pullKey{to, g.options.ID}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.open[key]; p != nil {
		p.used = now
		return p, nil
	}
	if len(ps.open) >= maxPulls {
		return nil, errPulls
	}
	m, release, err := g.Files()
	if err != nil {
		return nil, err
	}
	p := &pull{g: g, to: to, manifest: m, encoded: encodeManifest(&m), release: release, used: now}
	if ps.open == nil {
		ps.open = map[pullKey]*pull{}
	}
	ps.open[key] = p
	return p, nil
}

// find is the pull under way; nil: none.
func (ps *pulls) find(id GroupID, to ServerID, now time.Time) *pull {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.open[pullKey{to, id}]
	if p != nil {
		p.used = now
	}
	return p
}

func (ps *pulls) drop(done func(*pull) bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for key, p := range ps.open {
		if done(p) {
			p.release()
			delete(ps.open, key)
		}
	}
}

func (ps *pulls) end(g *Group) { ps.drop(func(p *pull) bool { return p.g == g }) }

func (ps *pulls) sweep(now time.Time) {
	ps.drop(func(p *pull) bool {
		match, _ := p.g.Match(p.to)
		return match >= p.manifest.Checkpoint.Index || now.Sub(p.used) > pullIdle
	})
}

// HandleManifest answers MethodManifest: the files of a group's log up to its newest checkpoint, if this broker leads it. They stay as they
// are until the other broker has the group's log, or has not asked for two minutes; until then it is told the same again.
func (n *Node) HandleManifest(_ context.Context, from ServerID, body []byte) ([]byte, error) {
	if len(body) != manifestBytes {
		return nil, fmt.Errorf("%w: manifest, %d bytes", errRequest, len(body))
	}
	id, rest := cutGroup(body)
	at := binary.BigEndian.Uint64(rest)
	g := n.Group(id)
	if g == nil || g.serving.Load() == 0 {
		return nil, fmt.Errorf("group %s: %w", id, ErrNotLeader)
	}
	p, err := n.pulls.begin(g, from, time.Now())
	if err != nil {
		return nil, err
	}
	if at > uint64(len(p.encoded)) {
		return nil, fmt.Errorf("%w: manifest of %d bytes, from byte %d", errRequest, len(p.encoded), at)
	}
	piece := p.encoded[at:]
	piece = piece[:min(len(piece), pieceBytes)]
	out := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(piece)), uint64(len(p.encoded)))
	return append(out, piece...), nil
}

// HandleRead answers MethodRead: bytes of a file of the manifest that from was told, up to 4 MiB.
func (n *Node) HandleRead(_ context.Context, from ServerID, body []byte) ([]byte, error) {
	if len(body) <= readBytes || len(body) > readBytes+maxFileName {
		return nil, fmt.Errorf("%w: read, %d bytes", errRequest, len(body))
	}
	id, rest := cutGroup(body)
	at, size, name := binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]), string(rest[16:])
	p := n.pulls.find(id, from, time.Now())
	if p == nil {
		return nil, fmt.Errorf("group %s: no manifest was asked for, or too long ago", id)
	}
	for _, f := range p.manifest.Files {
		if f.Name != name {
			continue
		}
		if at >= uint64(f.Len) {
			return nil, fmt.Errorf("%w: %s has %d bytes, from byte %d", errRequest, name, f.Len, at)
		}
		out := make([]byte, min(size, pieceBytes, uint64(f.Len)-at))
		k, err := p.g.log.ReadFile(name, out, int64(at))
		if k == 0 && err != nil {
			return nil, fmt.Errorf("group %s: read %s at byte %d: %w", id, name, at, err)
		}
		return out[:k], nil
	}
	return nil, fmt.Errorf("%w: %q is no file of the manifest", errRequest, name)
}

// NewRemoteSource is a replica's log on another broker, which call asks.
func NewRemoteSource(id GroupID, call func(ctx context.Context, m transport.Method, body []byte) ([]byte, error)) Source {
	return &remoteSource{id, call}
}

type remoteSource struct {
	id   GroupID
	call func(ctx context.Context, m transport.Method, body []byte) ([]byte, error)
}

func (s *remoteSource) Manifest(ctx context.Context) (Manifest, error) {
	var encoded []byte
	for total := uint64(1); uint64(len(encoded)) < total; {
		answer, err := s.call(ctx, transport.MethodManifest, binary.BigEndian.AppendUint64(appendGroup(nil, s.id), uint64(len(encoded))))
		if err != nil {
			return Manifest{}, err
		}
		if len(answer) <= 8 {
			return Manifest{}, fmt.Errorf("%w: answer of %d bytes", errManifest, len(answer))
		}
		if total = binary.BigEndian.Uint64(answer); total > maxManifest {
			return Manifest{}, fmt.Errorf("%w: %d bytes, the limit is %d", errManifest, total, maxManifest)
		}
		encoded = append(encoded, answer[8:]...)
	}
	return decodeManifest(encoded)
}

func (s *remoteSource) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	body := binary.BigEndian.AppendUint64(appendGroup(nil, s.id), uint64(off))
	body = append(binary.BigEndian.AppendUint64(body, uint64(len(p))), name...)
	answer, err := s.call(ctx, transport.MethodRead, body)
	if err != nil {
		return 0, err
	}
	if len(answer) == 0 || len(answer) > len(p) {
		return 0, fmt.Errorf("%w: %d bytes of %s, %d were asked for", io.ErrUnexpectedEOF, len(answer), name, len(p))
	}
	return copy(p, answer), nil
}

// An encoded manifest: version, the checkpoint's index, term, end and start, 8 bytes each; length of its state, 4, and the state; number of files, 4;
// of each the length of its name, 1, the name, and its length, 8; big-endian. Install keeps it to know whether a pull can be resumed.
const (
	manifestVersion = 1
	manifestFixed   = 1 + 4*8 + 4
)

var errManifest = errors.New("bad manifest")

func encodeManifest(m *Manifest) []byte {
	c := &m.Checkpoint
	b := append(make([]byte, 0, manifestFixed+len(c.State)+4+64*len(m.Files)), manifestVersion)
	for _, v := range []uint64{uint64(c.Index), uint64(c.Term), uint64(c.End), uint64(c.Start)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(c.State))), c.State...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Files)))
	for _, f := range m.Files {
		b = append(append(b, byte(len(f.Name))), f.Name...)
		b = binary.BigEndian.AppendUint64(b, uint64(f.Len))
	}
	return b
}

func decodeManifest(b []byte) (m Manifest, err error) {
	bad := func() (Manifest, error) { return Manifest{}, fmt.Errorf("%w: %d bytes are left", errManifest, len(b)) }
	if len(b) < manifestFixed || b[0] != manifestVersion {
		return bad()
	}
	u := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	m.Checkpoint = segment.Checkpoint{
		Index: segment.Index(u(1)), Term: segment.Term(u(9)), End: segment.Offset(u(17)), Start: segment.Offset(u(25)),
	}
	n := uint64(binary.BigEndian.Uint32(b[33:]))
	if b = b[manifestFixed:]; n+4 > uint64(len(b)) {
		return bad()
	}
	m.Checkpoint.State, b = b[:n:n], b[n:]
	files := binary.BigEndian.Uint32(b)
	for b = b[4:]; len(b) > 0; files-- {
		k := 1 + int(b[0])
		if files == 0 || len(b) < k+8 {
			return bad()
		}
		m.Files = append(m.Files, segment.FileRange{Name: string(b[1:k]), Len: int64(binary.BigEndian.Uint64(b[k:]))})
		b = b[k+8:]
	}
	if files != 0 {
		return bad()
	}
	return m, nil
}
