package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/members"
)

// The clients that are members of groups; clients/README.md says how.
var (
	memberFranz  = memberProgram{"franz-go", "QUIRE_INTEROP_FRANZ", func() []string { return argv("QUIRE_INTEROP_FRANZ") }}
	memberPython = memberProgram{"kafka-python", "QUIRE_INTEROP_PYTHON", func() []string {
		return argv("QUIRE_INTEROP_PYTHON", "clients/python/member.py")
	}}
	memberConfluentGo     = memberProgram{"confluent-go", "QUIRE_INTEROP_CONFLUENT_GO", func() []string { return argv("QUIRE_INTEROP_CONFLUENT_GO") }}
	memberConfluentPython = memberProgram{"confluent-python", "QUIRE_INTEROP_CONFLUENT_PYTHON", func() []string {
		return argv("QUIRE_INTEROP_CONFLUENT_PYTHON", "clients/confluent-python/member.py")
	}}
	memberJava = memberProgram{"java", "QUIRE_INTEROP_JAVA", func() []string {
		return []string{"java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", os.Getenv("QUIRE_INTEROP_JAVA"), "Member"}
	}}
)

type memberProgram struct {
	name, needs string
	argv        func() []string
}

// seat is a place in a group, taken by one process after another.
type seat struct {
	program  memberProgram
	name     string
	args     []string // after the name of the program
	lives    []*life
	resumeAt time.Time // not zero: the process is stopped until then
}

// life is one process in a seat.
type life struct {
	heard            // events under mu while it runs; killed and pauses are the test's
	cmd              *exec.Cmd
	stdin            io.Closer
	errs             lockedBuffer
	toldToLeave      bool
	mu               sync.Mutex
	ended            chan struct{} // closed when it has ended and all that it said was read
	endedWith        error
	changes, commits int            // assignments and their ends; acknowledged commits
	owned            map[int32]bool // now
	unreadable       error
	refusals         map[string]int
}

// now is the seat's process, nil if there is none.
func (s *seat) now() *life {
	if len(s.lives) == 0 {
		return nil
	}
	l := s.lives[len(s.lives)-1]
	select {
	case <-l.ended:
		return nil
	default:
		return l
	}
}

// sit starts a process in the seat. The test ends it.
func (s *seat) sit(t *testing.T) {
	t.Helper()
	argv := append(s.program.argv(), s.args...)
	l := &life{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), owned: map[int32]bool{}, refusals: map[string]int{}}
	l.name = fmt.Sprintf("%s.%d", s.name, len(s.lives)+1)
	l.cmd.Stderr = &l.errs
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.stdin = stdin
	go l.listen(out)
	s.lives = append(s.lives, l)
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		<-l.ended
	})
}

// listen reads what the process says until it ends.
func (l *life) listen(out io.Reader) {
	defer close(l.ended)
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break // half a line of a process that was killed does not count
		}
		var e members.Event
		if err := json.Unmarshal(line, &e); err != nil {
			l.unreadable = fmt.Errorf("%.200q: %w", line, err)
		}
		l.hear(e)
	}
	l.endedWith = l.cmd.Wait()
}

func (l *life) hear(e members.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	switch e.Kind {
	case members.Assigned, members.Revoked, members.Lost:
		l.changes++
		for _, p := range e.Partitions {
			l.owned[p] = e.Kind == members.Assigned
		}
	case members.Restarted:
		clear(l.owned)
		l.refusals["restarted: "+e.Why]++
	case members.Refused:
		l.refusals[e.Why]++
	case members.Committed:
		l.commits++
	}
}

// owns are the partitions that the process owns, and how often that has changed.
func (l *life) owns() ([]int32, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ps []int32
	for p, owned := range l.owned {
		if owned {
			ps = append(ps, p)
		}
	}
	slices.Sort(ps)
	return ps, l.changes
}

func (l *life) leave() {
	l.toldToLeave = true
	_ = l.stdin.Close()
}

func (l *life) kill() {
	l.killed = members.Now()
	_ = l.cmd.Process.Kill()
}

func (l *life) stop() {
	l.pauses = append(l.pauses, pause{from: members.Now()})
	_ = l.cmd.Process.Signal(syscall.SIGSTOP)
}

func (l *life) resume() {
	_ = l.cmd.Process.Signal(syscall.SIGCONT)
	l.pauses[len(l.pauses)-1].to = members.Now()
}

// fault is how the process ended, if it should not have ended so, or not at all.
func (l *life) fault() error {
	select {
	case <-l.ended:
	default:
		return nil
	}
	switch {
	case l.unreadable != nil:
		return fmt.Errorf("%s: %w", l.name, l.unreadable)
	case l.killed != 0 || l.toldToLeave && l.endedWith == nil:
		return nil
	}
	return fmt.Errorf("%s ended with %v: %s", l.name, l.endedWith, strings.TrimSpace(string(tail(l.errs.bytes()))))
}
