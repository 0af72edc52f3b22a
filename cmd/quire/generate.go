package main

import (
	"fmt"

	"github.com/quirelog/quire/broker/config"
	"github.com/spf13/cobra"
)

func (c *cli) generateCommand() *cobra.Command {
	return group("generate", "Print files to start from", `  quire generate config > quire.toml`,
		&cobra.Command{
			Use:   "config",
			Short: "Print a commented configuration file with every key at its default",
			Example: `  quire generate config > quire.toml
  quire serve --config quire.toml --check`,
			Args: wantArgs(0, 0, "no arguments"),
			RunE: func(*cobra.Command, []string) error {
				if err := config.WriteTemplate(c.out); err != nil {
					return fmt.Errorf("write the template: %w", err)
				}
				return nil
			},
		}, c.generateSystemdCommand())
}

func (c *cli) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print completion for bash, zsh, fish or powershell (it knows the topics' names)",
		Example: `  source <(quire completion bash)
  quire completion zsh > "${fpath[1]}/_quire"
  quire completion fish > ~/.config/fish/completions/quire.fish`,
		Args:      wantArgs(1, 1, "one of bash, zsh, fish, powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.out)
			}
			return usageError("quire completion --help", "no completion for %q: there is bash, zsh, fish and powershell", args[0])
		},
	}
}
