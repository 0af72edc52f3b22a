package partition

import (
	"encoding/hex"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

func TestDamagedState(t *testing.T) {
	state, err := hex.DecodeString(goldenHex)
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]fuzz.Target{
		"producers": {Runs: 20_000, Seeds: [][]byte{state, {1, 0, 0}}, Do: checkProducerState},
		"meta":      {Runs: 10_000, Seeds: [][]byte{[]byte(goldenMeta)}, Do: checkMeta},
	} {
		t.Run(name, g.Run)
	}
}
