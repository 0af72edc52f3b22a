package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type produceOptions struct {
	key         string
	hasKey      bool
	format      string
	headers     []string
	partition   int32 // -1: by key, or sticky without one
	acks        string
	compression string
	null        bool
	timeout     time.Duration
}

func (c *cli) produceCommand() *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Send records from standard input",
		Long: "One line is one record, unless -f says otherwise. A key goes to the partition where Kafka's own clients put it\n" +
			"(murmur2). Nothing is sent twice (idempotent). Batches are compressed with snappy, unless -z says otherwise.\n" +
			"Exits with 1 if any record failed.\n\n" +
			"-f is a format: " + recordVerbs + ";\n" +
			"%K and %V before %k and %v read that many bytes, %v{json} one JSON value, %k{hex} and %k{base64} decode.",
		Example: `  echo 'a coffee' | quire produce orders -k user_123
  quire produce orders < orders.jsonl
  quire produce orders -f '%k\t%v\n' < keyed.tsv
  quire produce orders -f '%k %v{json}\n' -H source=import < keyed.jsonl
  echo | quire produce orders -k user_123 -Z         # a tombstone: a key without a value`,
		Args: wantArgs(0, 1, "one TOPIC (or %t in the format)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.hasKey = cmd.Flags().Changed("key")
			topic := ""
			if len(args) == 1 {
				topic = args[0]
			} else if !strings.Contains(o.format, "%t") {
				return usageError("quire produce --help", "quire produce needs a TOPIC")
			}
			return c.produce(cmd.Context(), topic, o)
		},
		ValidArgsFunction: c.completeTopics(1),
	}
	f := cmd.Flags()
	f.StringVarP(&o.key, "key", "k", "", "`key` of all records")
	f.StringVarP(&o.format, "format", "f", "%v\\n", "`format` of the input (default '%v\\n')")
	f.Lookup("format").DefValue = "" // the help says it in words
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header of all records, as `NAME=VALUE` or NAME:VALUE; may be repeated")
	f.Int32VarP(&o.partition, "partition", "p", -1, "`partition` of all records; -1: by key")
	f.StringVar(&o.acks, "acks", "all", "who has the record when it counts as sent: `all`, 1 (the leader) or 0 (nobody knows)")
	f.StringVarP(&o.compression, "compression", "z", "snappy", "`codec`: none, gzip, snappy, lz4 or zstd")
	f.BoolVarP(&o.null, "null", "Z", false, "send empty keys and values as none at all (a tombstone)")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "give a record up after this `time`; 0: never")
	completeFlag(cmd, "acks", []string{"all", "1", "0"})
	completeFlag(cmd, "compression", sortedKeys(codecs))
	c.clientFlags(cmd)
	return cmd
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// clientOptions checks o and turns it into the producer's.
func (o produceOptions) clientOptions(topic string) ([]kgo.Opt, error) {
	codec, ok := codecs[o.compression]
	if !ok {
		return nil, usageError("", "-z %q: want one of %s", o.compression, strings.Join(sortedKeys(codecs), ", "))
	}
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(codec, kgo.NoCompression()),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own client
	}
	if o.timeout != 0 && o.timeout < time.Second {
		return nil, usageError("", "--timeout %s: want a second or more, or 0 for never", o.timeout)
	}
	if !o.timestamped() {
		opts = append(opts, kgo.RecordDeliveryTimeout(o.timeout))
	}
	if o.partition < -1 {
		return nil, usageError("", "-p %d: want a partition, counted from 0", o.partition)
	}
	if o.partition >= 0 || strings.Contains(o.format, "%p") {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	switch o.acks {
	case "all", "-1":
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usageError("", "--acks %q: want all, 1 or 0", o.acks)
	}
	return opts, nil
}

// timestamped is whether records come with a timestamp of their own.
func (o produceOptions) timestamped() bool { return strings.Contains(o.format, "%d") }

// parseHeaders takes kcat's NAME=VALUE and rpk's NAME:VALUE; the first of the two signs parts them.
func parseHeaders(specs []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, s := range specs {
		i := strings.IndexAny(s, "=:")
		if i < 1 {
			return nil, usageError("", "-H %q: want NAME=VALUE", s)
		}
		headers = append(headers, kgo.RecordHeader{Key: s[:i], Value: []byte(s[i+1:])})
	}
	return headers, nil
}

// complete gives a record read what the flags say.
func (o produceOptions) complete(r *kgo.Record, headers []kgo.RecordHeader) {
	formatHasKey := strings.Contains(o.format, "%k")
	if o.hasKey && !formatHasKey {
		r.Key = []byte(o.key)
	}
	// The reader leaves an empty key or value as none; only -Z means that.
	if !o.null {
		if r.Value == nil {
			r.Value = []byte{}
		}
		if r.Key == nil && formatHasKey {
			r.Key = []byte{}
		}
	} else if len(r.Key) == 0 {
		r.Key = nil
	}
	if o.partition >= 0 {
		r.Partition = o.partition
	}
	r.Headers = append(slices.Clip(headers), r.Headers...)
}

func (c *cli) produce(ctx context.Context, topic string, o produceOptions) error {
	opts, err := o.clientOptions(topic)
	if err != nil {
		return err
	}
	headers, err := parseHeaders(o.headers)
	if err != nil {
		return err
	}
	reader, err := newRecordReader(c.in, o.format)
	if err != nil {
		return usageError("quire produce --help", "-f %q: %w", o.format, err)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	limit, err := c.batchLimit(ctx, topic)
	if err != nil {
		return err
	}
	watch := &reconnecting{cli: c}
	cl, err := c.connect(ctx, append(opts, kgo.ProducerBatchMaxBytes(limit), kgo.WithHooks(watch), kgo.WithLogger(watch))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if c.inTTY {
		fmt.Fprintln(c.err, "one record a line, Ctrl-D ends")
	}
	s := &sending{cli: c, cl: cl, watch: watch, timeout: o.timeout, partitions: make(map[topicPartition]int64)}
	if o.timestamped() {
		s.deadlines = &deadlines{timeout: o.timeout}
	}
	return s.run(ctx, reader, func(r *kgo.Record) { o.complete(r, headers) })
}

// batchLimit is the largest batch that topic takes, in bytes: the client would refuse larger ones by a limit of its own.
func (c *cli) batchLimit(ctx context.Context, topic string) (int32, error) {
	const usual, least, most = 1048588, 1 << 10, 64 << 20 // the client takes no less than 1 KiB
	limit := int32(usual)
	err := c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		if topic == "" {
			return nil
		}
		answers, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return nil // no reason not to try
		}
		a, _ := answers.On(topic, nil)
		for _, cfg := range a.Configs {
			if n, err := strconv.ParseInt(cfg.MaybeValue(), 10, 64); err == nil && cfg.Key == "max.message.bytes" {
				limit = int32(min(max(n, least), most))
			}
		}
		return nil
	})
	return limit, err
}
