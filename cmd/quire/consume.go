package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordVerbs is the part of produce's and consume's help that is kgo's record format.
const recordVerbs = "%t topic, %p partition, %o offset, %k key, %v value, %K and %V their sizes,\n" +
	"%h{%k=%v } headers, %d timestamp (ms), \\n \\t \\xNN"

// keyHelp is the part of consume's help that is about one key.
const keyHelp = `-k reads every partition, since a producer may put a key where it likes, or into another one after partitions were added; -p
reads less where it is known which. -n counts what is printed.`

type consumeOptions struct {
	offsets    []string
	count      int64 // 0: no limit
	partitions []int32
	format     string
	group      string // "": none, and nothing is committed
	key        string
	keyed      bool // only records with this key
}

func (c *cli) consumeCommand() *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print a topic's records",
		Long: offsetHelp + "\n\n" + keyHelp + "\n\n" + groupHelp + "\n\n-f json prints one object a record; a key or value that is not UTF-8 is in key_base64 or\n" +
			"value_base64 instead. Any other -f is a format: " + recordVerbs,
		Example: `  quire consume orders                       # from the first record, then what comes
  quire consume orders -o :end               # what is there, then stop
  quire consume orders -o end                # only what comes from now on
  quire consume orders -o -10 -f json        # the last ten of each partition, then what comes
  quire consume orders -o @-1h:end -n 100    # a hundred of the last hour
  quire consume orders -k user_123 -o :end   # all that is there of one key
  quire consume orders -f '%p %o %k %v\n'
  quire consume orders -g billing            # as a member of a group: goes on where it was`,
		Args: wantArgs(1, -1, "a TOPIC"),
		RunE: func(cmd *cobra.Command, topics []string) error {
			if o.group == "" && cmd.Flags().Changed("group") { // of a variable that is not set: it must not read without a group
				return usageError("quire consume --help", "-g: the group has no name")
			}
			o.keyed = cmd.Flags().Changed("key")
			return c.consume(cmd.Context(), topics, o)
		},
		ValidArgsFunction: c.completeTopics(-1),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.offsets, "offset", "o", nil, "`offset`: where to read (default from the first record on)")
	f.Int64VarP(&o.count, "num", "n", 0, "stop after this `number` of records")
	f.Int32SliceVarP(&o.partitions, "partitions", "p", nil, "read only these `partitions` (default all)")
	f.StringVarP(&o.key, "key", "k", "", "print only the records with this `key`")
	f.StringVarP(&o.group, "group", "g", "", "read as a member of this consumer `group`, and commit what was printed")
	_ = cmd.RegisterFlagCompletionFunc("group", c.completeGroups(-1, false)) // fails only for a flag that does not exist
	f.StringVarP(&o.format, "format", "f", "%v\\n", "how to print a record: json, or a `format` (default '%v\\n')")
	f.Lookup("format").DefValue, f.Lookup("partitions").DefValue = "", "" // the help says it in words
	c.clientFlags(cmd)
	return cmd
}

func (c *cli) consume(ctx context.Context, topics []string, o consumeOptions) error {
	rng, err := parseOffsets(o.offsets, time.Now())
	if err != nil {
		return usageError("quire consume --help", "-o %w", err)
	}
	write, err := recordWriter(o.format)
	if err != nil {
		return usageError("quire consume --help", "-f %q: %w", o.format, err)
	}
	if o.count < 0 {
		return usageError("", "-n %d: want a number of records", o.count)
	}
	if o.keyed && o.group != "" {
		return usageError("quire consume --help", "-g commits all that it reads, and with -k the records of other keys would count as done")
	}
	if o.group != "" {
		return c.consumeAsMember(ctx, topics, o, rng, write)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	cl, err := c.connect(ctx, kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second), kgo.WithHooks(&reconnecting{cli: c}))
	if err != nil {
		return err
	}
	defer cl.Close()
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	r := &reading{
		cli: c, cl: cl, adm: kadm.NewClient(cl),
		topics: topics, partitions: o.partitions, rng: rng, left: o.count, write: write,
	}
	if o.keyed {
		r.key = &o.key
	}
	if err := r.run(ctx); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	return nil
}

// checkPartitions makes sure that every topic has the partitions asked for.
func checkPartitions(c *cli, topics kadm.TopicDetails, want []int32) error {
	for _, t := range topics.Sorted() {
		for _, p := range want {
			if _, ok := t.Partitions[p]; !ok {
				return withHint(fmt.Errorf("topic %s has no partition %d: it has %s, counted from 0", t.Topic, p,
					plural(len(t.Partitions), "partition")), "%s", c.command("topic describe "+t.Topic))
			}
		}
	}
	return nil
}
