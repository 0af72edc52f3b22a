package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version in CHANGELOG.md that this source is, or is on its way to.
const release = "0.1.0"

// commit is what `make build` found, for builds in which Go itself finds none (-ldflags "-X main.commit=...").
var commit string

type versionView struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "": built outside a git checkout
	Modified bool   `json:"modified"`
	Time     string `json:"commit_time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() versionView {
	v := versionView{Version: release, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}

func versionLine() string {
	v := buildVersion()
	from := "commit unknown"
	if v.Commit != "" {
		from = "commit " + v.Commit[:min(12, len(v.Commit))]
	}
	if v.Modified {
		from += ", modified"
	}
	return fmt.Sprintf("quire %s (%s) %s %s", v.Version, from, v.Go, v.Platform)
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version and the commit it was built from",
		Example: `  quire version
  quire version -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			return c.answer(buildVersion(), func(w io.Writer) { fmt.Fprintln(w, versionLine()) })
		},
	}
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}
