package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// systemdUnit is the unit file; its verbs are the binary and the configuration file's argument.
//
// Type=exec: the binary does not speak sd_notify. TimeoutStopSec is above closeTimeout. ProtectSystem=strict
// leaves the state directory as the only place to write to.
const systemdUnit = `# Made by quire generate systemd. Put it into /etc/systemd/system/quire.service, then
# systemctl daemon-reload && systemctl enable --now quire
[Unit]
Description=Quire, a partitioned log that speaks Kafka's protocol
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart=%s serve --data-dir %%S/quire%s
Restart=on-failure
RestartSec=1s
TimeoutStopSec=30s
# A partition holds a file open, and a client a connection.
LimitNOFILE=1048576

DynamicUser=yes
StateDirectory=quire
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`

func (c *cli) generateSystemdCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "systemd",
		Short: "Print a hardened systemd unit that runs this binary",
		Example: `  quire generate systemd | sudo tee /etc/systemd/system/quire.service
  quire generate systemd --config /etc/quire.toml`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this binary: %w", err)
			}
			args := ""
			if config != "" {
				if !filepath.IsAbs(config) {
					return usageError("", "--config %s: systemd wants an absolute path", config)
				}
				args = " --config " + unitQuote(config)
			}
			_, err = fmt.Fprintf(c.out, systemdUnit, unitQuote(self), args)
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "TOML `file` that the broker is to read")
	_ = cmd.MarkFlagFilename("config", "toml")
	return cmd
}

// unitQuote is one word of a command line in a unit file.
func unitQuote(s string) string {
	s = strings.NewReplacer("%", "%%", "$", "$$").Replace(s)
	if !strings.ContainsAny(s, " \t\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
