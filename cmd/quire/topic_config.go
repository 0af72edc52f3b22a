package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (c *cli) topicConfigCommand() *cobra.Command {
	var pairs, unset []string
	cmd := &cobra.Command{
		Use:   "config NAME",
		Short: "Show or change a topic's configuration",
		Long: "Without -c and --unset it shows the configuration, what was set on the topic first. Values of keys that end in\n" +
			".ms take ms, s, m, h, d and w, those of keys that end in .bytes take KiB, MiB, GiB and kB, MB, GB.",
		Example: `  quire topic config orders
  quire topic config orders -c segment.ms=1d -c segment.bytes=64MiB
  quire topic config orders --unset segment.ms       # back to the default`,
		Args: wantArgs(1, 1, "the NAME of one topic"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := configChanges(pairs, unset)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				return c.configureTopic(ctx, adm, args[0], changes)
			})
		},
		ValidArgsFunction: c.completeTopics(1),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&pairs, "config", "c", nil, "set `KEY=VALUE`; may be repeated")
	f.StringArrayVar(&unset, "unset", nil, "set `KEY` back to its default; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("config", completeConfigs)
	return cmd
}

func configChanges(pairs, unset []string) ([]kadm.AlterConfig, error) {
	set, err := parseConfigs(pairs)
	if err != nil {
		return nil, err
	}
	var changes []kadm.AlterConfig
	for _, key := range sortedKeys(set) {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: set[key]})
	}
	for _, key := range unset {
		if _, both := set[key]; both {
			return nil, usageError("", "%s is both set and unset", key)
		}
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
	}
	return changes, nil
}

// configureTopic makes the changes, if any, all or none, and shows what holds then.
func (c *cli) configureTopic(ctx context.Context, adm *kadm.Client, name string, changes []kadm.AlterConfig) error {
	if len(changes) > 0 {
		answers, err := adm.AlterTopicConfigs(ctx, changes, name)
		if err != nil {
			return fmt.Errorf("change the configuration of topic %s: %w", name, err)
		}
		a, err := answers.On(name, nil)
		if err == nil {
			err = a.Err
		}
		if err != nil {
			return c.topicError(name, err, a.ErrMessage)
		}
		for _, change := range changes {
			if change.Name == "cleanup.policy" {
				c.noteCompaction(change.Value)
			}
		}
	}
	configs, err := c.topicConfigs(ctx, adm, name)
	if err != nil {
		return err
	}
	return c.answer(configs, func(w io.Writer) { c.writeConfigs(w, configs) })
}
