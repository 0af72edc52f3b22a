package broker

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/forming"
	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/replication"
)

// docs/LIMITS.md says what the code does.
func TestLimitsAreWhatIsWritten(t *testing.T) {
	have := map[string]any{
		"minFrameBytes": minFrameBytes, "maxControlBytes": maxControlBytes, "maxElements": maxElements, "maxPipelined": maxPipelined,
		"readBufferBytes": readBufferBytes, "provenBytes": provenBytes, "eagerFrameBytes": eagerFrameBytes, "decodeFactor": decodeFactor,
		"recompressBytes": recompressBytes, "freePlain": freePlain, "maxExpansion": maxExpansion, "conversionShare": conversionShare,
		"usualPlain": usualPlain, "usualExpansion": usualExpansion, "unusualRest": unusualRest,
		"responseGrace": int(responseGrace / time.Second), "maxRequestTime": int(maxRequestTime / time.Second),
		"defaultRequestTime": int(defaultRequestTime / time.Second), "minElectWait": int(minElectWait / time.Second),
		"handOverTime": int(handOverTime / time.Second), "maxPeers": maxPeers, "forming.MaxBytes": forming.MaxBytes,
		"muteTime":   int(muteTime / time.Second),
		"heldFactor": heldFactor, "frameGrace": int(frameGrace / time.Second), "frameRate": frameRate,
		"crowdedFrameTime": int(crowdedFrameTime / time.Second), "writeTimeout": int(writeTimeout / time.Second),
		"maxFetchWait": int(maxFetchWait / time.Second), "maxFetchChunks": maxFetchChunks, "partitionsPerSlot": partitionsPerSlot, "partitionCap": partitionCap,
		"maxDescribedPartitions": maxDescribedPartitions, "maxTopicName": maxTopicName, "replication.MaxInFlight": replication.MaxInFlight,
		"refusalLogInterval": int(refusalLogInterval / time.Second),
		"groupCallWait":      int(groupCallWait / time.Second), "maxJoinWait": int(maxJoinWait / time.Second), "maxWaitingBytes": maxWaitingBytes,
		"consumergroup.MaxQueued": consumergroup.MaxQueued, "consumergroup.MaxQueuedBytes": consumergroup.MaxQueuedBytes,
		"consumergroup.MaxHeldBytes": consumergroup.MaxHeldBytes,
		"maxGroups":                  maxGroups, "maxGroupConfigs": maxGroupConfigs, "maxGroupBytes": maxGroupBytes, "maxScrapedOffsets": maxScrapedOffsets, "maxJournalBatch": maxJournalBatch,
		"placement.MaxLearners": placement.MaxLearners, "placement.LevelEntries": placement.LevelEntries,
		"placement.LevelAge": int(placement.LevelAge / time.Second), "placement.DrainTimeout": int(placement.DrainTimeout / time.Second),
		"placement.MaxCallItems": placement.MaxCallItems,
	}
	def := config.Default()
	for _, key := range []string{"socket.request.max.bytes", "queued.max.request.bytes", "max.connections", "max.connections.per.ip", "max.connection.creation.rate", "connections.max.idle.ms",
		"fetch.max.bytes", "max.incremental.fetch.session.cache.slots", "group.max.size", "group.consumer.max.size",
		"offset.metadata.max.bytes"} {
		have[key] = def.Value(key)
	}
	text, err := os.ReadFile("../docs/LIMITS.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.Contains(cells[1], "`") {
			continue
		}
		name, value := strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2])
		if want := fmt.Sprint(have[name]); value != want {
			t.Errorf("%s is %s in docs/LIMITS.md and %s in the code", name, value, want)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is not in docs/LIMITS.md", name)
	}
}
