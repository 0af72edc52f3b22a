package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/segment/flush"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// closeTimeout is how long a broker that was told to stop may take to answer what it has begun and close its logs: ten thousand partitions take
// more than ten seconds on a busy machine. It is below the TimeoutStopSec of `generate systemd`.
const closeTimeout = 25 * time.Second

func (c *cli) serveCommand() *cobra.Command {
	var file string
	var check bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a broker",
		Long: "Without any configuration it is a whole single broker with durable storage in ./quire-data. Every key can be set by\n" +
			"flag, environment (QUIRE_ and the flag's name in capitals, with underscores) or file; the flag wins over the\n" +
			"environment, that over the file. SIGTERM and Ctrl-C end it cleanly; another one, a second later, ends it at once.",
		Example: `  quire serve
  quire serve --data-dir /var/lib/quire --kafka-addr 0.0.0.0:9092 --advertised-addr broker.example:9092
  quire generate config > quire.toml && quire serve --config quire.toml --check`,
		Args: wantArgs(0, 0, "no arguments"),
	}
	given := configFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "TOML `file` (see `quire generate config`)")
	cmd.Flags().BoolVar(&check, "check", false, "only check the configuration")
	_ = cmd.MarkFlagFilename("config", "toml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := c.loadConfig(config.Source{File: file, Env: c.env, Flags: given()})
		if err != nil {
			return err
		}
		if check {
			fmt.Fprintln(c.out, "the configuration is valid")
			return nil
		}
		return c.serve(cmd.Context(), cfg, running{command: "serve", flags: typed(cmd.Flags())})
	}
	return cmd
}

// configFlags adds a flag for each configuration key but those named in without. The function it returns lists the values given,
// by key name.
func configFlags(f *pflag.FlagSet, without ...string) func() map[string]string {
	names := make(map[string]string) // of keys, by flag
	f.SortFlags = false
	for _, k := range config.Keys() {
		if slices.Contains(without, k.Name) {
			continue
		}
		f.String(k.Flag, k.Default, k.Doc)
		names[k.Flag] = k.Name
	}
	return func() map[string]string {
		given := make(map[string]string)
		f.Visit(func(fl *pflag.Flag) {
			if name, ok := names[fl.Name]; ok {
				given[name] = fl.Value.String()
			}
		})
		return given
	}
}

func (c *cli) loadConfig(s config.Source) (config.Config, error) {
	cfg, err := config.Load(s)
	if err != nil {
		hint := "quire generate config"
		if errors.Is(err, fs.ErrNotExist) {
			hint += " > " + shellQuote(s.File)
		}
		return cfg, usageError(hint, "configuration: %w", err)
	}
	return cfg, nil
}

// running is what differs between serve and dev.
type running struct {
	command string
	flags   []string             // as typed, for hints
	ready   func(*broker.Broker) // called when the broker answers requests; nil: nothing
	leave   func() error         // called at the end, however it comes about; nil: nothing
}

// serve runs a broker until a signal or the end of ctx, and closes it cleanly.
func (c *cli) serve(ctx context.Context, cfg config.Config, r running) (err error) {
	if r.leave == nil {
		r.leave = func() error { return nil }
	}
	ctx, stop := c.untilSignal(ctx, r.leave)
	defer stop()
	defer func() { err = errors.Join(err, r.leave()) }()
	log := c.logger()
	b, err := broker.Start(ctx, cfg, broker.Options{Logger: log, Version: release, OnFatal: c.fatal, LimitMemory: true})
	if err != nil {
		return startError(err, cfg, r)
	}
	c.sayStarted(log, b, cfg)
	if r.ready != nil {
		r.ready(b)
	}
	<-ctx.Done()
	log.Info("stopping")
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := b.Close(closeCtx); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	log.Info("stopped")
	return nil
}

// logger writes text for people and JSON for machines.
func (c *cli) logger() *slog.Logger {
	if c.errTTY {
		return slog.New(slog.NewTextHandler(c.err, nil))
	}
	return slog.New(slog.NewJSONHandler(c.err, nil))
}

// fatal ends the process: after a failed fsync whatever the broker still did could promise what is not so.
func (c *cli) fatal(err error) {
	c.exit(c.report(&failure{err: fmt.Errorf("the broker cannot go on: %w", err), code: exitFailed}))
}

// sayStarted says what runs where: one record in a log, a few lines at a terminal.
func (c *cli) sayStarted(log *slog.Logger, b *broker.Broker, cfg config.Config) {
	if !c.errTTY {
		log.Info("started", "version", release, "commit", buildVersion().Commit, "data_dir", cfg.DataDir, "kafka_addr", b.Addr(),
			"http_addr", b.HTTPAddr(), "durability", durabilityText(cfg))
		return
	}
	admin := "none"
	if b.HTTPAddr() != "" {
		admin = "http://" + b.HTTPAddr()
	}
	fmt.Fprintf(c.err, "%s\n  Kafka       %s\n  admin HTTP  %s\n  data        %s\n  durability  %s\n",
		versionLine(), b.Addr(), admin, cfg.DataDir, durabilityText(cfg))
}

// durabilityText says what a producer's acknowledgement is worth.
func durabilityText(cfg config.Config) string {
	switch cfg.Durability {
	case flush.Interval:
		return fmt.Sprintf("interval (flushed every %s: a crash of the machine may lose what is younger)", cfg.FlushInterval)
	case flush.OS:
		return "os (flushed when the kernel likes: a crash of the machine may lose acknowledged records)"
	}
	return "fsync (acknowledged records are on disk)"
}

// dialable is addr as a client on this machine dials it: a listener on all interfaces is reached on the loopback.
func dialable(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsUnspecified() {
		return addr
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(ap.Port()))
}
