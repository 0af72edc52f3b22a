package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
)

// storedData runs a broker, writes to two topics and stops it.
func storedData(t *testing.T, while func(dir string)) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cfg := config.Default()
	cfg.DataDir, cfg.KafkaAddr, cfg.HTTPAddr, cfg.RPCAddr = dir, "127.0.0.1:0", "", "127.0.0.1:0"
	b, err := broker.Start(t.Context(), cfg, broker.Options{Version: release, OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	s := shell{t, b.Addr()}
	s.ok("", words("topic create orders -p 2")...)
	s.ok("", words("topic create events -p 1")...)
	s.ok("a\nb\nc\n", words("produce orders -p 1")...)
	s.ok("d\n", words("produce events -k key")...)
	if while != nil {
		while(dir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fileContents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestStorageVerify(t *testing.T) {
	dir := storedData(t, func(dir string) {
		r := shell{t, ""}.run("", "storage", "verify", dir)
		if r.code != exitFailed || !strings.Contains(r.err, "in use by process") || !strings.Contains(r.err, "hint: stop it") {
			t.Errorf("while a broker runs: exit %d: %s", r.code, r.err)
		}
	})
	before := fileContents(t, dir)
	s := shell{t, ""}
	out := s.ok("", "storage", "verify", dir)
	for _, want := range []string{"orders-1: ok, offsets 0 to 3, 1 segment, ", "events-0: ok, ", "quire.meta, votes.db, controller: ok\n",
		"3 partitions: nothing is damaged\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	s.ok("", "storage", "dump", dir, "--all", "--data")
	for path, content := range fileContents(t, dir) {
		if before[path] != content {
			t.Errorf("%s has changed", path)
		}
		delete(before, path)
	}
	if len(before) > 0 {
		t.Errorf("files are gone: %d", len(before))
	}
	if r := s.run("", "storage", "verify", filepath.Join(dir, "orders-1")); !strings.Contains(r.err, "hint: quire storage verify "+dir) {
		t.Errorf("of a partition: %s", r.err)
	}
}

// TestStorageVerifyFindsFlippedBits flips bits in every kind of file. In the two databases only part of a file is in use.
func TestStorageVerifyFindsFlippedBits(t *testing.T) {
	dir := storedData(t, nil)
	for path, content := range fileContents(t, dir) {
		rel, _ := filepath.Rel(dir, path)
		if rel == "quire.lock" {
			continue
		}
		database := strings.HasSuffix(path, ".db")
		found, tried := 0, 0
		for at := 0; at < len(content); at += max(1, len(content)/25) {
			if database && content[at] == 0 {
				continue // as good as never in use
			}
			b := []byte(content)
			b[at] ^= 0x80
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			tried++
			r := shell{t, ""}.run("", "storage", "verify", dir)
			switch {
			case r.code == exitFailed && strings.Contains(r.out, "  "+rel+": byte "):
				found++
			case !database && rel != "quire.meta":
				t.Errorf("%s, byte %d: exit %d\n%s%s", rel, at, r.code, r.out, r.err)
			}
		}
		if found == 0 && tried > 0 {
			t.Errorf("%s: none of %d flipped bits is found", rel, tried)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell{t, ""}.ok("", "storage", "verify", dir)
}

// TestStorageVerifyFindsFlippedPages: of the databases, both meta pages, and a file that is cut short.
func TestStorageVerifyFindsFlippedPages(t *testing.T) {
	dir := storedData(t, nil)
	for _, rel := range []string{"votes.db", filepath.Join("controller", "raft.db")} {
		path := filepath.Join(dir, rel)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		meta := append([]byte(nil), content...)
		for page := range 2 {
			meta[page*os.Getpagesize()+16+20] ^= 1
		}
		for name, damaged := range map[string][]byte{"meta pages": meta, "half": content[:len(content)/16], "empty": nil} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			r := shell{t, ""}.run("", "storage", "verify", dir)
			if r.code != exitFailed || !strings.Contains(r.out, "  "+rel+": byte ") {
				t.Errorf("%s, %s: exit %d\n%s%s", rel, name, r.code, r.out, r.err)
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStorageDump(t *testing.T) {
	dir := storedData(t, func(dir string) {
		if r := (shell{t, ""}).run("", "storage", "dump", dir); r.code != exitDone || !strings.HasPrefix(r.err, "warning: ") {
			t.Errorf("while a broker runs: exit %d: %s", r.code, r.err)
		}
	})
	s := shell{t, ""}
	out := s.ok("", "storage", "dump", filepath.Join(dir, "orders-1"), "--data", "--all")
	for _, want := range []string{"Log starting offset: 0\n", "baseOffset: 0 lastOffset: 2 count: 3 ", " isvalid: true\n", "| offset: 1 CreateTime: ",
		" payload: b\n", "raft.entries byte: 16 type: segment ", "partition.meta topicId: ", "checkpoint index: ", "clean index: ",
		"00000000000000000000.qidx offset: 0 index: "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var items []struct{ Type string }
	if err := json.Unmarshal([]byte(s.ok("", "storage", "dump", dir, "--all", "--records", "-o", "json")), &items); err != nil || len(items) < 10 {
		t.Errorf("json: %v, %d items", err, len(items))
	}
	lines := s.ok("", "storage", "dump", filepath.Join(dir, "events-0"), "--data", "-o", "jsonl")
	if !strings.HasPrefix(lines, `{"type":"batch",`) || strings.Count(lines, "\n") != 1 || !strings.Contains(lines, `"key":"key","value":"d"`) {
		t.Errorf("jsonl: %s", lines)
	}
	for _, args := range [][]string{{"storage", "dump", dir + "/nope"}, {"storage", "verify", dir + "/nope"}, {"storage", "dump", dir + "/quire.meta"}} {
		if r := s.run("", args...); r.code != exitFailed || !strings.HasPrefix(r.err, "error: ") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.err)
		}
	}
}

func TestGenerateSystemd(t *testing.T) {
	s := shell{t, ""}
	out := s.ok("", words("generate systemd --config /etc/quire.toml")...)
	for _, want := range []string{"\nType=exec\n", " serve --data-dir %S/quire --config /etc/quire.toml\n", "\nStateDirectory=quire\n", "\nLimitNOFILE="} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if r := s.run("", words("generate systemd --config quire.toml")...); r.code != exitUsage {
		t.Errorf("a relative path: exit %d: %s", r.code, r.err)
	}
	for in, want := range map[string]string{"/usr/bin/quire": "/usr/bin/quire", "/a b/50%": `"/a b/50%%"`} {
		if got := unitQuote(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
