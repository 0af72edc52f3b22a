package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/chaos"
)

// needs says whether a foreign client is installed; in CI all are.
func needs(t *testing.T, variable string) bool {
	t.Helper()
	if os.Getenv(variable) == "" && os.Getenv("CI") == "true" {
		t.Fatalf("%s is not set: run it through ./run", variable)
	}
	if os.Getenv(variable) == "" {
		t.Logf("SKIPPED: %s is not set", variable)
	}
	return os.Getenv(variable) != ""
}

// startRdkafka adds producers of librdkafka, and two members of a group.
func (l *load) startRdkafka(producers int) {
	for i := range 2 {
		s := &seat{program: memberConfluentGo, name: fmt.Sprintf("librdkafka-%d", i+1),
			args: []string{"member", strings.Join(l.c.addrs(), ","), rdkafkaLoad, l.topic, "cooperative-sticky", "", "10000"}}
		s.sit(l.t)
		l.seats = append(l.seats, s)
	}
	for range producers {
		l.writers.Go(l.produceRdkafka)
	}
}

// produceRdkafka is produce with librdkafka.
func (l *load) produceRdkafka() {
	for !over(l.quit) {
		id := l.producers.Add(1)
		if err := l.produceRdkafkaAs(id); err != nil {
			l.t.Logf("producer %d, of librdkafka, begins anew: %v", id, err)
		}
	}
}

func (l *load) produceRdkafkaAs(id int32) error {
	args := append(argv("QUIRE_INTEROP_CONFLUENT_GO"), "load", strings.Join(l.c.addrs(), ","), l.topic, fmt.Sprint(l.partitions), fmt.Sprint(id), fmt.Sprint(l.pace.Microseconds()))
	cmd := exec.Command(args[0], args[1:]...)
	var errs lockedBuffer
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	l.writers.Go(func() {
		<-l.quit
		_ = in.Close()
	})
	sent := int64(-1)
	heard := l.hear(id, bufio.NewScanner(out), &sent)
	if sent < 0 {
		l.t.Errorf("producer %d, of librdkafka, did not say how many it sent: %s", id, tail(errs.bytes()))
	}
	l.keep(fmt.Sprintf("producer-%d.stderr", id), errs.bytes())
	l.mu.Lock()
	l.ledger.Sent[id], l.ledger.Bumps[id] = sent, true
	l.mu.Unlock()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, tail(errs.bytes()))
	}
	return heard
}

// hear reads what a producer's process says, until it ends.
func (l *load) hear(id int32, lines *bufio.Scanner, sent *int64) error {
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "acked":
			a := chaos.Ack{Value: chaos.Value{Producer: id}, Told: now()}
			if _, err := fmt.Sscanf(rest, "%d %d %d", &a.Number, &a.Partition, &a.Offset); err != nil {
				l.t.Errorf("producer %d said %q", id, lines.Text())
				continue
			}
			l.ack(a)
		case "refused":
			l.t.Logf("producer %d, of librdkafka: %s", id, lines.Text())
		case "sent":
			*sent, _ = strconv.ParseInt(rest, 10, 64)
		}
	}
	return lines.Err()
}

// endRdkafka tells the members to leave, and notes what they have said.
func (l *load) endRdkafka() {
	for _, s := range l.seats {
		if at := s.now(); at != nil {
			at.leave()
		}
	}
	for _, s := range l.seats {
		for _, at := range s.lives {
			select {
			case <-at.ended:
			case <-time.After(time.Minute):
				l.t.Errorf("%s does not end", at.name)
				continue
			}
			if err := at.fault(); err != nil {
				l.t.Error(err)
			}
			l.noteLife(at)
			l.keep(at.name+".stderr", at.errs.bytes())
		}
	}
}

// keep writes a file that is kept with -artifacts.
func (l *load) keep(name string, content []byte) {
	if err := os.WriteFile(filepath.Join(l.t.ArtifactDir(), name), content, 0o600); err != nil {
		l.t.Error(err)
	}
}

func (l *load) noteLife(at *life) {
	at.mu.Lock()
	defer at.mu.Unlock()
	var said bytes.Buffer
	out := json.NewEncoder(&said)
	defer func() { l.keep(at.name+".said", said.Bytes()) }()
	for _, e := range at.events {
		if err := out.Encode(e); err != nil {
			l.t.Error(err)
		}
		for _, o := range e.Offsets {
			l.commits(rdkafkaLoad, int32(o[0]), o[1], e.At)
		}
		for _, r := range e.Records {
			v := chaos.Value{Producer: int32(r[2]), Number: r[3]}
			l.ledger.Read = append(l.ledger.Read, chaos.Read{Value: v, Group: rdkafkaLoad, Partition: int32(r[0]), Offset: r[1]})
		}
	}
}
