package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// profile takes a CPU profile of the broker, if it has any, over the middle of the load that starts now. The function it returns waits
// for it, and says where the CPU time went; "": no profile.
func (b *process) profile(ctx context.Context, warmUp, duration time.Duration) func() string {
	if b.admin == "" {
		return func() string { return "" }
	}
	where := make(chan string, 1)
	go func() {
		text, err := b.fetchProfile(ctx, warmUp, max(1, int(duration.Seconds())-1))
		if err != nil {
			fmt.Fprintln(os.Stderr, "warning: no profile:", err)
		}
		where <- text
	}()
	return func() string { return <-where }
}

func (b *process) fetchProfile(ctx context.Context, after time.Duration, seconds int) (string, error) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+startTimeout)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.admin, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "cpu.pprof")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return "", err
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=10000", "-nodefraction=0", file).Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w", err)
	}
	return shares(string(top)), nil
}

// kinds say what a function's own time is for, by the first prefix that fits.
var kinds = []struct{ prefix, kind string }{
	{"internal/runtime/syscall", "system calls"}, {"syscall.", "system calls"},
	{"runtime.futex", "scheduling"}, {"runtime.epoll", "scheduling"},
	{"runtime.memmove", "copying"}, {"runtime.memclr", "copying"}, {"hash/crc32", "checksums"},
	{"runtime.gc", "garbage collection"}, {"runtime.scan", "garbage collection"}, {"runtime.malloc", "garbage collection"},
	{"runtime.", "runtime"}, {"internal/runtime", "runtime"},
	{"github.com/hashicorp/raft", "raft"}, {"github.com/quirelog/quire", "Quire"},
	{"github.com/klauspost", "compression"}, {"github.com/pierrec", "compression"},
}

func kindOf(function string) string {
	for _, k := range kinds {
		if strings.HasPrefix(function, k.prefix) {
			return k.kind
		}
	}
	return "other"
}

// shares sums the output of `go tool pprof -top` up by kind: "system calls 61%, copying 12%".
func shares(top string) string {
	sums := make(map[string]float64)
	for line := range strings.Lines(top) {
		f := strings.Fields(line) // flat flat% sum% cum cum% function
		if len(f) < 6 || !strings.HasSuffix(f[1], "%") {
			continue
		}
		if share, err := strconv.ParseFloat(strings.TrimSuffix(f[1], "%"), 64); err == nil {
			sums[kindOf(f[5])] += share
		}
	}
	var names []string
	for kind, share := range sums {
		if share >= 1 {
			names = append(names, kind)
		}
	}
	sort.Slice(names, func(i, j int) bool { return sums[names[i]] > sums[names[j]] })
	for i, kind := range names {
		names[i] = fmt.Sprintf("%s %.0f%%", kind, sums[kind])
	}
	return strings.Join(names, ", ")
}
