package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/spf13/pflag"
)

// hinter is an error that knows what to do about it.
type hinter interface {
	error
	Hint() string
}

// startError adds what to run instead: the command as it was typed, with the flag that helps. The broker's error names the port
// and who has it.
func startError(err error, cfg config.Config, r running) error {
	err = fmt.Errorf("start the broker: %w", err)
	if taken, ok := errors.AsType[*broker.PortError](err); ok && taken.Free != "" {
		return withHint(err, "%s", r.with(freeAddrs(taken, cfg)))
	}
	if h, ok := errors.AsType[hinter](err); ok {
		return withHint(err, "%s", h.Hint())
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "listen" {
		if strings.Contains(err.Error(), "http-addr: ") {
			return withHint(err, "%s", r.with([]string{"--http-addr", config.Default().HTTPAddr}))
		}
		return withHint(err, "%s", r.with([]string{"--kafka-addr", config.Default().KafkaAddr}))
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok && r.command == "serve" {
		return withHint(err, "name a directory that can be written: %s", r.with([]string{"--data-dir", "DIR"}))
	}
	return err
}

// freeAddrs is the free address of the listener that failed, and one for each of those after it that would fail as well.
func freeAddrs(taken *broker.PortError, cfg config.Config) []string {
	flags := []string{"--" + taken.Key, taken.Free}
	rest := [][2]string{{"kafka-addr", cfg.KafkaAddr}, {"http-addr", cfg.HTTPAddr}, {"rpc-addr", cfg.RPCAddr}} // as they are bound
	at := slices.IndexFunc(rest, func(l [2]string) bool { return l[0] == taken.Key })
	for _, l := range rest[at+1:] {
		if free := freeFrom(l[1], flags); free != "" && free != l[1] {
			flags = append(flags, "--"+l[0], free)
		}
	}
	return flags
}

// freeFrom is addr, or the next one whose port is free and not among chosen; "" where there is none.
func freeFrom(addr string, chosen []string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	n, _ := strconv.Atoi(port)
	for try := n; try <= n+20; try++ {
		addr := net.JoinHostPort(host, strconv.Itoa(try))
		if slices.Contains(chosen, addr) {
			continue
		}
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	return ""
}

// typed is the flags given on the command line, as arguments.
func typed(f *pflag.FlagSet) []string {
	var args []string
	f.Visit(func(fl *pflag.Flag) { args = append(args, "--"+fl.Name, fl.Value.String()) })
	return args
}

// with is the command as it was typed, with flags in place of those of the same name.
func (r running) with(flags []string) string {
	words := []string{"quire", r.command}
	for i := 0; i+1 < len(r.flags); i += 2 {
		if !slices.Contains(flags, r.flags[i]) {
			words = append(words, r.flags[i], shellQuote(r.flags[i+1]))
		}
	}
	return strings.Join(append(words, flags...), " ")
}
