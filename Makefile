# Needs Go and make; `make interop` needs more (see interop/).
BIN := bin/quire

# A checkout that git does not trust (another user's, in a container) must still build.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

# The race detector needs a C compiler.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: run build test bench clean

run: build
	@exec ./$(BIN) dev

build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -o $(BIN) ./cmd/quire

test:
	@fmt="$$(gofmt -l $$(go list -f '{{.Dir}}' ./...) interop/*.go)"; if [ -n "$$fmt" ]; then echo "not gofmt'ed:"; echo "$$fmt"; exit 1; fi
	go vet ./...
	go test $(RACE) -timeout 10m ./...

bench:
	go test -run '^$$' -bench . -benchtime 1s -timeout 30m ./...

clean:
	rm -rf bin
