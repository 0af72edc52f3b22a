package broker

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

func peer(id int32, incarnation, addr string) controller.Broker {
	return controller.Broker{ID: id, Host: "h", Port: 9092, Incarnation: incarnation, RPCAddr: addr}
}

func imageOf(brokers ...controller.Broker) *controller.Image {
	i := &controller.Image{Brokers: map[int32]controller.Broker{}}
	for _, b := range brokers {
		i.Brokers[b.ID] = b
	}
	return i
}

func TestPeersKnowWhereOthersListen(t *testing.T) {
	dir := t.TempDir()
	p := openPeers(dir, "1-a")
	want := func(id, addr string) {
		t.Helper()
		got, err := p.resolve(replication.ServerID(id))
		if got != addr || (err == nil) != (addr != "") {
			t.Errorf("%s listens on %q (%v), want %q", id, got, err, addr)
		}
	}
	p.heard(peer(1, "a", "self:1"), true)
	p.heard(peer(2, "b", "two:1"), false)
	want("1-a", "")
	want("2-b", "two:1")
	p.heard(peer(2, "b", "lie:1"), false)
	want("2-b", "two:1")
	p.heard(peer(2, "b", "two:2"), true) // it says so itself
	want("2-b", "two:2")

	first := imageOf(peer(1, "a", "self:1"), peer(2, "b", "two:1"), peer(3, "c", "three:1"))
	p.heard(peer(3, "c", "three:2"), true)
	p.follow(first, imageOf(peer(1, "a", "self:1"), peer(2, "b", "two:1"), peer(3, "c", "three:1"))) // nothing is new in it
	want("2-b", "two:2")
	want("3-c", "three:2")
	second := imageOf(peer(1, "a", "self:1"), peer(2, "b", "two:3"), peer(3, "d", "three:3"))
	p.follow(first, second)
	want("2-b", "two:3")
	want("3-c", "") // its disk was replaced
	want("3-d", "three:3")

	for range 2 {
		if err := p.save(sortedBrokers(second)); err != nil {
			t.Fatal(err)
		}
	}
	p = openPeers(dir, "1-a")
	want("2-b", "two:3")
	want("3-d", "three:3")
	if err := os.WriteFile(filepath.Join(dir, peersFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p = openPeers(dir, "1-a"); len(p.all()) != 0 {
		t.Errorf("of rubbish: %v", p.all())
	}
}

func TestPeersAreBounded(t *testing.T) {
	p := openPeers(t.TempDir(), "1-a")
	for n := range int32(2 * maxPeers) {
		p.heard(peer(n+2, "x", "somewhere:1"), true)
	}
	if n := len(p.all()); n != maxPeers {
		t.Errorf("%d peers", n)
	}
}

func TestBrokersDialFromTheirOwnAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for from, want := range map[string]string{"127.0.0.1:9643": "127.0.0.1", ":9643": "", "[::1]:9643": "", "example.com:1": ""} {
		c, err := dialFrom(from)(t.Context(), ln.Addr().String())
		if err != nil {
			t.Errorf("from %s: %v", from, err)
			continue
		}
		if got := c.LocalAddr().(*net.TCPAddr).IP.String(); want != "" && got != want {
			t.Errorf("from %s: it dialled from %s", from, got)
		}
		c.Close()
	}
}
