package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	maxDevBrokers = 7
	formTimeout   = time.Minute // a busy machine starts several brokers at once
)

// devCluster is brokers that are processes of their own, each with a directory and a log below a throw-away directory.
type devCluster struct {
	c       *cli
	dir     string
	brokers []*child
}

// devCluster runs n brokers until a signal or the end of ctx.
func (c *cli) devCluster(ctx context.Context, given map[string]string, n int) (err error) {
	dir, err := os.MkdirTemp("", "quire-dev-")
	if err != nil {
		return withHint(fmt.Errorf("make a throw-away directory: %w", err), "name a directory that can be written: TMPDIR=. %s dev", shellQuote(c.self))
	}
	d := &devCluster{c: c, dir: dir}
	ctx, stop := c.untilSignal(ctx, d.leave)
	defer stop()
	defer func() { err = errors.Join(err, d.leave()) }()
	if err := d.plan(given, n); err != nil {
		return err
	}
	for _, b := range d.brokers {
		if err := b.start(); err != nil {
			return err
		}
	}
	if err := d.await(ctx); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	fmt.Fprintf(c.err, "%s\n%s, each a process of its own, in %s, which is removed on exit\n\n", versionLine(), plural(n, "broker"), dir)
	for _, b := range d.brokers {
		fmt.Fprintf(c.err, "  broker %d  Kafka %s, process %d\n", b.id, b.kafka, b.pid())
	}
	fmt.Fprint(c.err, "\nIn a second terminal:\n")
	for _, line := range c.clusterCommands(d.brokers[0].kafka, d.brokers[n-1].pid()) {
		fmt.Fprintln(c.out, line)
	}
	return d.watch(ctx)
}

// clusterCommands are the lines to paste into a second terminal; pid is a broker to kill.
func (c *cli) clusterCommands(addr string, pid int) []string {
	self, at := shellQuote(c.self), ""
	if addr != defaultBroker {
		at = " -b " + addr
	}
	return append(c.firstCommands(addr), self+" cluster info"+at, fmt.Sprintf("kill -9 %d; %s cluster health%s", pid, self, at))
}

// plan chooses addresses: the standard ones for the first broker, and the next free ones for the others.
func (d *devCluster) plan(given map[string]string, n int) error {
	cfg, err := d.c.loadConfig(config.Source{Env: d.c.env, Flags: given})
	if err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	var seeds []string
	taken := []string{cfg.KafkaAddr, cfg.HTTPAddr} // the first broker's, and 9643 is followed by 9644
	next := func(addr string) string {
		if free := freeFrom(addr, taken); free != "" {
			addr = free
		}
		taken = append(taken, addr)
		return addr
	}
	for i := range n {
		b := &child{id: int32(i + 1), kafka: cfg.KafkaAddr, log: filepath.Join(d.dir, fmt.Sprintf("broker-%d.log", i+1)), ended: make(chan struct{})}
		if i > 0 {
			b.kafka = next(cfg.KafkaAddr)
		}
		seeds = append(seeds, next(cfg.RPCAddr))
		d.brokers = append(d.brokers, b)
	}
	for i, b := range d.brokers {
		http := cfg.HTTPAddr
		if i > 0 && http != "" {
			http = next(http)
		}
		b.args = []string{binary, "serve"}
		for key, value := range given {
			b.args = append(b.args, "--"+strings.ReplaceAll(key, ".", "-"), value)
		}
		b.args = append(b.args, "--data-dir", filepath.Join(d.dir, fmt.Sprint(b.id)), "--node-id", fmt.Sprint(b.id), "--kafka-addr", b.kafka,
			"--http-addr", http, "--rpc-addr", seeds[i], "--seeds", strings.Join(seeds, ","))
		b.env = d.c.env
	}
	return nil
}

// await returns when all brokers are there and know of each other.
func (d *devCluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	var addrs []string
	for _, b := range d.brokers {
		addrs = append(addrs, b.kafka)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("quire"), kgo.DialTimeout(connectTimeout))
	if err != nil {
		return usageError("", "--kafka-addr: %w", err)
	}
	defer cl.Close()
	for {
		for _, b := range d.brokers {
			if b.hasEnded() {
				return fmt.Errorf("broker %d ended: %s", b.id, b.lastWords())
			}
		}
		once, stop := context.WithTimeout(ctx, time.Second)
		v, err := loadHealth(once, cl)
		stop()
		if err == nil && v.Brokers == len(d.brokers) && v.Healthy {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the brokers formed no cluster within %s: %s", formTimeout, d.brokers[0].lastWords())
		}
	}
}

// watch says when a broker ends that nobody told to, and returns when ctx ends.
func (d *devCluster) watch(ctx context.Context) error {
	ended := make(chan *child)
	for _, b := range d.brokers {
		go func() {
			select {
			case <-b.ended:
			case <-ctx.Done():
				return
			}
			select {
			case ended <- b:
			case <-ctx.Done():
			}
		}()
	}
	for {
		select {
		case b := <-ended:
			fmt.Fprintf(d.c.err, "broker %d has ended (%s); start it again with: %s\n", b.id, b.state(), quoted(b.args))
		case <-ctx.Done():
			return nil
		}
	}
}

// leave ends all brokers and removes what they leave behind. It may be called twice.
func (d *devCluster) leave() error {
	for _, b := range d.brokers {
		b.tell()
	}
	deadline := time.After(closeTimeout)
	for _, b := range d.brokers {
		b.await(deadline)
	}
	return os.RemoveAll(d.dir)
}
