package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// listener is a broker of the mesh that sends back what it gets.
func listener(t *testing.T, i int) string {
	t.Helper()
	l, err := net.Listen("tcp", Host(i)+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, m *Mesh, from, to int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(Host(from))}}
	c, err := d.Dial("tcp", m.Addr(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo sends a byte and reads it back within d.
func echo(c net.Conn, d time.Duration) error {
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

const patience = 20 * time.Second

func TestMesh(t *testing.T) {
	m, err := NewMesh([]string{listener(t, 0), listener(t, 1), listener(t, 2)}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ab, ac, ba := dial(t, m, 0, 1), dial(t, m, 0, 2), dial(t, m, 1, 0)
	for _, c := range []net.Conn{ab, ac, ba} {
		if err := echo(c, patience); err != nil {
			t.Fatal(err)
		}
	}

	m.Set(1, 0, Stall) // so neither the answers of 1 nor its own requests come to 0
	for _, c := range []net.Conn{ab, ba} {
		if err := echo(c, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over a stalled way: %v", err)
		}
	}
	if err := echo(ac, patience); err != nil {
		t.Errorf("over another way: %v", err)
	}
	m.Mend() // what was held comes, once
	for _, c := range []net.Conn{ab, ba} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("after it was mended: %v", err)
		}
		if err := echo(c, patience); err != nil {
			t.Error(err)
		}
	}

	m.Set(0, 2, Slow)
	began := time.Now()
	if err := echo(ac, patience); err != nil || time.Since(began) < m.delay {
		t.Errorf("over a slow way: %v after %v", err, time.Since(began))
	}

	m.Isolate(0, Broken)
	for _, c := range []net.Conn{ab, ac, ba} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a broken connection: %v", err)
		}
	}
	if err := echo(dial(t, m, 2, 1), patience); err != nil {
		t.Errorf("between the others: %v", err)
	}
}
