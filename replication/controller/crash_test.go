package controller

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// crashDir makes the test binary a process to be killed: it opens the directory and creates topics until it dies.
const crashDir = "QUIRE_TEST_CONTROLLER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, createForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// createForever prints what is acknowledged: "leads", then one topic a line.
func createForever(dir string) error {
	ctx := context.Background()
	c, err := Open(ctx, Options{Dir: dir, Self: testSelf})
	if err != nil {
		return err
	}
	fmt.Println("leads")
	for n := len(c.Image().Topics); ; n++ {
		if _, err := c.ProducerIDs(ctx, 1); err != nil {
			return err
		}
		t, err := c.CreateTopic(ctx, NewTopic{Name: fmt.Sprint("t", n), Partitions: partitions(1)})
		if err != nil {
			return err
		}
		if n%16 == 15 {
			if err := c.raft.Snapshot().Error(); err != nil {
				return err
			}
		}
		fmt.Println(t.Name, t.ID)
	}
}

func TestKilledAtAnyPoint(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]string{}
	for _, lines := range []int{0, 1, 2, 17, 40, 100} { // 0: while it opens
		killAfter(t, dir, lines, acked)
		c := mustOpen(t, dir, testSelf)
		for name, id := range acked {
			if got := c.Image().Topics[name]; got == nil || got.ID.String() != id {
				t.Fatalf("after %d lines: topic %s is %+v, acknowledged as %s", lines, name, got, id)
			}
		}
		if next, topics := c.Image().nextProducerID, len(c.Image().Topics); next < int64(topics) {
			t.Fatalf("%d producer ids were handed out before %d topics", next, topics)
		}
		mustClose(t, c)
	}
	if len(acked) < 150 {
		t.Fatalf("only %d topics were acknowledged", len(acked))
	}
}

// killAfter runs createForever and kills it after so many lines, which it adds to acked.
func killAfter(t *testing.T, dir string, lines int, acked map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	for n := 0; n < lines && scan.Scan(); n++ {
		if name, id, ok := strings.Cut(scan.Text(), " "); ok {
			acked[name] = id
		}
	}
	cmd.Process.Kill()
	for scan.Scan() { // what was acknowledged before the kill arrived
		if name, id, ok := strings.Cut(scan.Text(), " "); ok {
			acked[name] = id
		}
	}
	cmd.Wait() // "killed" is what it should say
	if stderr.Len() > 0 {
		t.Fatal(stderr.String())
	}
}

func TestCopiesTakenBetweenCommandsOpen(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, testSelf)
	ctx := testContext(t)
	for n := range 8 {
		if _, err := c.CreateTopic(ctx, NewTopic{Name: fmt.Sprint("t", n), Partitions: partitions(1)}); err != nil {
			t.Fatal(err)
		}
		if n == 4 {
			if err := c.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		cut := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(cut, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		copied := mustOpen(t, cut, testSelf)
		if !reflect.DeepEqual(copied.Image(), c.Image()) {
			t.Fatalf("copy %d:\n%+v\n%+v", n, copied.Image(), c.Image())
		}
		mustClose(t, copied)
	}
}

func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, dir, testSelf))
	unfinished := filepath.Join(dir, snapshotDir, "2-5-1700000000000.tmp")
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, testSelf)
	if _, err := os.Stat(unfinished); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func TestInterruptedFoundingIsForgotten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, dbNewFile), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, dir, testSelf)
	if c.Image().ClusterID == "" {
		t.Fatal("not founded")
	}
	if _, err := os.Stat(filepath.Join(dir, dbNewFile)); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
