package controller

import (
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

func TestDamagedCommands(t *testing.T) {
	var commands [][]byte
	for _, g := range goldenCommands {
		commands = append(commands, []byte(g.bytes))
	}
	for name, g := range map[string]fuzz.Target{
		"command":  {Runs: 15_000, Seeds: commands, Do: checkCommand},
		"snapshot": {Runs: 15_000, Seeds: [][]byte{[]byte(goldenSnapshot)}, Do: checkSnapshot},
	} {
		t.Run(name, g.Run)
	}
}
