# Needs Go and make; `make interop` needs more (see interop/).
BIN := bin/quire

# A checkout that git does not trust (another user's, in a container) must still build.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

# Go finds no commit in a linked worktree, nor in a source tree without .git: COMMIT=... tells it then.
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)

# The race detector needs a C compiler.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: run build test interop fuzz bench crash restart strict hostile groups chaos cluster table compare clean

run: build
	@exec ./$(BIN) dev

build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -ldflags '-X main.commit=$(COMMIT)' -o $(BIN) ./cmd/quire

test:
	@fmt="$$(gofmt -l $$(go list -f '{{.Dir}}' ./...) interop/*.go)"; if [ -n "$$fmt" ]; then echo "not gofmt'ed:"; echo "$$fmt"; exit 1; fi
	go vet ./...
	go test $(RACE) -timeout 10m ./...

# Foreign clients, installed under interop/.cache, against bin/quire.
interop: build
	./interop/run

# The long form of what `make interop` does in short: 209 faults, 19 of each kind, and at least a million acknowledged records; half an hour.
chaos: build
	QUIRE_CHAOS_FAULTS=209 QUIRE_CHAOS_RECORDS=1000000 QUIRE_CHAOS_PACE_US=4000 ./interop/run -timeout 70m -run '^TestChaos$$'

# The long forms of what `make test` does in short: 100 kills, 1 GB in 200 partitions.
crash:
	QUIRE_CRASH_KILLS=100 go test -count=1 -v -timeout 15m -run TestKillNine ./cmd/quire

restart:
	QUIRE_STRICT=1 QUIRE_RESTART_MB=1000 go test -count=1 -v -timeout 15m -run TestRestartAfterKill ./cmd/quire

# Bounds on time as they are asked for, on a machine that does nothing else; `make test` gives a busy one twenty times as long.
strict:
	QUIRE_STRICT=1 go test -count=1 -v -timeout 10m -run 'TestEmptyStart|TestRestartAfterKill|TestGroupsAfterKill|TestStartIsQuick|TestLoneVoterLeadsAtOnce|TestManyGroupsElectThemselves' ./cmd/quire ./broker/quiretest ./replication

# A healthy producer alone, then under attack; paced, and as fast as it can. 5 minutes.
hostile:
	QUIRE_HOSTILE_SECONDS=60 go test -count=1 -v -timeout 15m -run TestUnderAttack ./cmd/quire

# Consumer groups: a million commits loaded, 1,000 idle groups, 10,000 commits a second, 100,000 members. 3 minutes.
groups:
	QUIRE_STRICT=1 QUIRE_GROUPS_COMMITS=1000000 QUIRE_GROUPS_SECONDS=30 QUIRE_GROUPS_STORM=100000 go test -count=1 -v -timeout 15m -run 'TestGroupsAfterKill|TestIdleGroups|TestCommitRate|TestGroupsUnderAttack' ./cmd/quire

# A cluster of three processes: 1,000 partitions of three replicas idle, and with a broker killed and stopped; 3,000 made; what a replicated MB costs. On an
# idle machine QUIRE_STRICT=1 holds the bounds. 5 minutes.
cluster:
	QUIRE_CLUSTER_PARTITIONS=1000 QUIRE_CLUSTER_IDLE_SECONDS=20 QUIRE_CLUSTER_MB=1000 go test -count=1 -v -timeout 15m -run 'TestClusterOfManyPartitions|TestClusterTakesWritesAgain|TestClusterProduceCost' ./cmd/quire
	QUIRE_CLUSTER_PARTITIONS=3000 go test -count=1 -v -timeout 15m -run TestClusterOfManyPartitions ./cmd/quire

# The throughput table of docs/PERFORMANCE.md; BROKERS, DURATION and RATE may be set.
TABLE_FLAGS = -quire $(BIN) $(if $(BROKERS),-brokers $(BROKERS)) $(if $(DURATION),-duration $(DURATION)) $(if $(RATE),-rate $(RATE))
table: build
	go run ./bench/table $(TABLE_FLAGS)

# The same with Apache Kafka beside Quire; KAFKA_JARS names its jars (`make interop` installs them).
KAFKA_JARS ?= interop/.cache/kafka/*
compare: BROKERS ?= fsync,os,kafka,kafka-fsync
compare: build
	go run ./bench/table $(TABLE_FLAGS) -warmup 10s -jars '$(KAFKA_JARS)'

# Go's coverage-guided fuzzing of every target, FUZZTIME each. What it finds stays in testdata/fuzz and is part of `make test`.
FUZZTIME ?= 1m
fuzz:
	@set -e; for p in $$(go list -f '{{.Dir}}' ./...); do \
		for f in $$(cat $$p/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -parallel 1 $$p; done; done

bench:
	go test -run '^$$' -bench . -benchtime 1s -timeout 30m ./...

clean:
	rm -rf bin
