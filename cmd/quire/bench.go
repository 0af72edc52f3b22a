package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quirelog/quire/bench"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchChecks is what every help text of bench says about checking.
const benchChecks = "Every record carries a sequence number and a checksum, and is checked when it is read: loss, repeats, a changed order\n" +
	"within a partition (and so within a key) and damage are printed, and exit with 1."

func (c *cli) benchCommand() *cobra.Command {
	cmd := group("bench", "Load a broker, check every record, measure", `  quire bench produce
  quire bench e2e --rate 20000 -p 12
  quire bench consume -b 127.0.0.1:9092 --size 1KiB -o json      # any Kafka address`,
		c.benchProduceCommand(), c.benchConsumeCommand(), c.benchEndToEndCommand())
	c.clientFlags(cmd)
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

func (c *cli) benchProduceCommand() *cobra.Command {
	o := benchOptions{load: bench.Load{Kind: bench.Produce}}
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Measure producing",
		Long: "Produces to a topic made for it, as fast as records are acknowledged or at a --rate that does not wait for them, and\n" +
			"then reads back what it sent. Latency is counted from when a record was to be sent.\n\n" + benchChecks,
		Example: `  quire bench produce                                       # 10 s, 100 B, 6 partitions
  quire bench produce --rate 50000 --size 1KiB -z zstd --text
  quire bench produce -p 64 --keys 1000000 --producers 4 --duration 1m
  quire bench produce --topic load --keep                   # for bench consume --topic load`,
	}
	o.sendFlags(cmd)
	cmd.Flags().BoolVar(&o.load.NoCheck, "no-check", false, "do not read back what was sent")
	return c.benchRuns(cmd, &o)
}

func (c *cli) benchConsumeCommand() *cobra.Command {
	o := benchOptions{load: bench.Load{Kind: bench.Consume}}
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "Measure reading",
		Long: "Fills a topic made for it for as long as --duration, and then reads all of it; the first tenth is warm-up. A --topic\n" +
			"that exists is read as it is.\n\n" + benchChecks,
		Example: `  quire bench consume                                       # 6 partitions, filled for 10 s
  quire bench consume --consumers 3 -p 12 --size 1KiB
  quire bench consume --topic load                          # what bench produce --keep has left`,
	}
	o.fillFlags(cmd)
	o.consumerFlags(cmd.Flags())
	return c.benchRuns(cmd, &o)
}

func (c *cli) benchEndToEndCommand() *cobra.Command {
	o := benchOptions{load: bench.Load{Kind: bench.EndToEnd}}
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Measure from sending to reading",
		Long: "Produces and reads at the same time, at a --rate that waits for nobody. Latency is counted from when a record was to be\n" +
			"sent to when it was acknowledged, and to when a consumer had it.\n\n" + benchChecks,
		Example: `  quire bench e2e                                           # 10,000 records/s
  quire bench e2e --rate 1000 --size 10KiB --consumers 2
  quire bench e2e --rate 0                                  # as fast as records are acknowledged`,
	}
	o.sendFlags(cmd)
	o.consumerFlags(cmd.Flags())
	rate := cmd.Flags().Lookup("rate")
	rate.DefValue = "10000"
	o.load.Rate = 10000
	return c.benchRuns(cmd, &o)
}

// benchOptions are the flags of one bench command.
type benchOptions struct {
	load        bench.Load
	size, batch string
	warmUp      time.Duration
	configs     []string
	json        bool
}

// fillFlags are those of whatever makes a topic and sends to it.
func (o *benchOptions) fillFlags(cmd *cobra.Command) {
	f, l := cmd.Flags(), &o.load
	f.SortFlags = false
	f.StringVarP(&l.Topic, "topic", "t", "", "`topic`; one that exists is used as it is and never removed (default: a new one)")
	f.BoolVar(&l.Keep, "keep", false, "leave the topic that was made")
	f.Int32VarP(&l.Partitions, "partitions", "p", 6, "`partitions` of a topic that is made")
	f.Int16VarP(&l.Replicas, "replicas", "r", -1, "`replicas` of a topic that is made; -1: the broker's default")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "configuration of a topic that is made, as `KEY=VALUE`; may be repeated")
	f.StringVarP(&o.size, "size", "s", "100", "`bytes` of a record's value, such as 100 or 1KiB")
	f.IntVarP(&l.Keys, "keys", "k", 0, "`number` of distinct keys; 0: records without keys")
	f.BoolVar(&l.Text, "text", false, "values that compress (to about a third); else random bytes")
	f.StringVarP(&l.Compression, "compression", "z", "none", "`codec`: none, gzip, snappy, lz4 or zstd")
	f.StringVar(&l.Acks, "acks", "all", "who has a record when it counts as sent: `all`, 1 (the leader) or 0 (nobody knows)")
	f.IntVar(&l.Producers, "producers", 1, "`number` of clients that send")
	f.StringVar(&o.batch, "batch", "1000000", "largest batch, in `bytes`")
	f.DurationVar(&l.Linger, "linger", 0, "`time` that a batch waits to become larger")
	f.IntVar(&l.Window, "window", 0, "`records` a producer may have unacknowledged (default: 16 MiB of values, at most 32768)")
	f.DurationVarP(&l.Duration, "duration", "d", 10*time.Second, "`time` that is measured (bench consume: of filling)")
	f.DurationVar(&l.Stall, "stall", 30*time.Second, "give up when nothing comes or is acknowledged for this `time`")
	f.IntVar(&l.ServerPID, "server-pid", 0,
		"`process` whose CPU and memory are measured; -1: none (default: who listens on a broker's port, on this machine)")
	f.BoolVar(&o.json, "json", false, "as -o json")
	completeFlag(cmd, "compression", bench.Codecs())
	completeFlag(cmd, "acks", []string{"all", "1", "0"})
}

// sendFlags are those of sending that is measured.
func (o *benchOptions) sendFlags(cmd *cobra.Command) {
	o.fillFlags(cmd)
	f := cmd.Flags()
	f.Int64Var(&o.load.Rate, "rate", 0, "`records` a second, all producers together; 0: as fast as they are acknowledged")
	f.DurationVar(&o.warmUp, "warmup", time.Second, "`time` before the measured one")
}

func (o *benchOptions) consumerFlags(f *pflag.FlagSet) {
	f.IntVar(&o.load.Consumers, "consumers", 1, "`number` of clients that read")
}

// benchRuns gives cmd what all bench commands do.
func (c *cli) benchRuns(cmd *cobra.Command, o *benchOptions) *cobra.Command {
	cmd.Args = wantArgs(0, 0, "no arguments")
	_ = cmd.RegisterFlagCompletionFunc("topic", c.completeTopics(-1)) // fails only for a flag that does not exist
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.json {
			c.format = "json"
		}
		if err := o.finish(); err != nil {
			return err
		}
		return c.bench(cmd.Context(), o.load)
	}
	return cmd
}

// finish turns what the flags say into the load.
func (o *benchOptions) finish() error {
	size, err := machineValue("size.bytes", o.size)
	if err == nil {
		_, err = fmt.Sscan(size, &o.load.RecordBytes)
	}
	if err != nil {
		return usageError("", "--size %s: %w", o.size, err)
	}
	batch, err := machineValue("batch.bytes", o.batch)
	if err == nil {
		_, err = fmt.Sscan(batch, &o.load.BatchBytes)
	}
	if err != nil {
		return usageError("", "--batch %s: %w", o.batch, err)
	}
	if o.load.TopicConfigs, err = parseConfigs(o.configs); err != nil {
		return err
	}
	if o.load.WarmUp = o.warmUp; o.warmUp == 0 {
		o.load.WarmUp = -1
	}
	if err := o.load.Validate(); err != nil {
		return usageError("", "%w", err)
	}
	return nil
}

// errCheckFailed ends a bench whose report says what was found.
var errCheckFailed = errors.New("records were lost, repeated, reordered or damaged")

func (c *cli) bench(ctx context.Context, l bench.Load) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	probe, err := c.connect(ctx) // an address where no broker is fails now
	if err != nil {
		return err
	}
	probe.Close()
	l.Client = []kgo.Opt{
		kgo.SeedBrokers(c.seeds()...), kgo.ClientID("quire-bench"), kgo.DialTimeout(connectTimeout),
	}
	l.Version = "quire " + release
	var progress io.Writer
	if c.errTTY {
		progress = c.err
	}
	announce := func(s bench.Setup) {
		if c.format == "table" {
			s.Write(c.out)
		}
	}
	report, err := bench.Run(ctx, l, announce, progress)
	if err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return fmt.Errorf("bench %s: %w", l.Kind, err)
	}
	if err := c.answer(report, report.Write); err != nil {
		return err
	}
	if report.Failed() {
		return errCheckFailed
	}
	return nil
}
