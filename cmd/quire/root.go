package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
)

// helpTemplate puts the examples first: they are what most people open the help for.
const helpTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

// usageTemplate is completed by usageText.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped helpWidth | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all {{.Parent.Name}} commands:
{{.InheritedFlags.FlagUsagesWrapped helpWidth | trimTrailingWhitespaces}}{{end}}
`

// Commands are listed in the order in which they were added. It is one setting for all roots, which tests make side by side.
func init() { cobra.EnableCommandSorting = false }

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "quire",
		Short: "A partitioned, append-only log that speaks Kafka's protocol",
		Example: `  quire dev                                    # a broker on a throw-away directory
  quire serve                                  # a durable broker in ./quire-data
  quire topic create orders -p 6
  echo 'a coffee' | quire produce orders -k user_123
  quire consume orders                         # from the first record, then follow`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionLine(),
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageText(c.width))
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.serveCommand(), c.devCommand(), c.topicCommand(), c.produceCommand(), c.consumeCommand(),
		c.groupCommand(), c.clusterCommand(), c.storageCommand(), c.benchCommand(), c.generateCommand(), c.completionCommand(), c.versionCommand())
	return root
}

// helpCommand is `quire help COMMAND`, for those who have it in their fingers; --help is what the texts name.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return noSuchCommand(of, rest)
			}
			return of.Help()
		},
	}
}

// group makes a command that only holds others.
func group(use, short, example string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = strings.Join(append([]string{cmd.CommandPath(), near[0]}, args[1:]...), " ")
	}
	return usageError(hint, "%s has no command %q", cmd.CommandPath(), args[0])
}

// wantArgs checks the number of arguments (most < 0: any number); what says what they are.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usageError(cmd.CommandPath()+" --help", "%s needs %s", cmd.CommandPath(), what)
		}
		if most >= 0 && len(args) > most {
			return usageError(cmd.CommandPath()+" --help", "%s takes %s; not understood: %s", cmd.CommandPath(), what,
				strings.Join(args[most:], " "))
		}
		return nil
	}
}

// clientFlags gives cmd and the commands below it the broker addresses.
func (c *cli) clientFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringSliceVarP(&c.brokers, "brokers", "b", nil,
		fmt.Sprintf("broker `addresses`, separated by commas (environment QUIRE_BROKERS; default %s)", defaultBroker))
	f.StringSliceVar(&c.brokers, "bootstrap-server", nil, "as --brokers")
	_ = f.MarkHidden("bootstrap-server") // fails only for a flag that does not exist
}

// outputFlag gives cmd and the commands below it -o.
func (c *cli) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&c.format, "output", "o", "table", "`format` of the answer: table, json, jsonl or yaml")
	completeFlag(cmd, "output", outputFormats)
}

// completeFlag offers values for a flag of cmd in the shell.
func completeFlag(cmd *cobra.Command, flag string, values []string) {
	// Fails only for a flag that does not exist or has values already.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// interruptible is for commands that may wait: Ctrl-C, or one of more, ends ctx, and a second one the process.
func interruptible(ctx context.Context, more ...os.Signal) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, append(more, os.Interrupt)...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
