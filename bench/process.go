package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is a server under measurement, by /proc. A nil one has used nothing.
type Process struct {
	PID  int
	Name string
}

// cpuTime is CPU time since a process started.
type cpuTime struct{ user, system time.Duration }

func (t cpuTime) since(from cpuTime) cpuTime {
	return cpuTime{t.user - from.user, t.system - from.system}
}

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// OpenProcess names a process of this machine.
func OpenProcess(pid int) (*Process, error) {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return &Process{PID: pid, Name: strings.TrimSpace(string(comm))}, nil
}

func (p *Process) cpu() cpuTime {
	if p == nil {
		return cpuTime{}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return cpuTime{}
	}
	// The name in parentheses may hold anything. Fields 14 and 15 of the whole are 11 and 12 behind it.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 13 {
		return cpuTime{}
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return cpuTime{time.Duration(user) * tick, time.Duration(system) * tick}
}

// rss is the resident memory in bytes.
func (p *Process) rss() int64 {
	if p == nil {
		return 0
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(statm))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

var errNoListener = errors.New("no process of this machine that may be looked at listens there")

// FindListener finds the process that listens on addr, if addr is this machine's.
func FindListener(addr string) (*Process, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || !ownHost(host) {
		return nil, fmt.Errorf("%s: %w", addr, errNoListener)
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if text, err := os.ReadFile(table); err == nil {
			listeners(string(text), uint16(port), inodes)
		}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // fails only for a malformed pattern
	for _, dir := range dirs {
		if holdsSocket(dir, inodes) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return OpenProcess(pid)
		}
	}
	return nil, fmt.Errorf("%s: %w", addr, errNoListener)
}

// listeners adds the inodes of the sockets in table that listen on port.
func listeners(table string, port uint16, inodes map[string]bool) {
	const stateListen = "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line) // sl local remote state queues timer retransmit uid timeout inode
		if len(f) > 9 && f[3] == stateListen && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			inodes[f[9]] = true
		}
	}
}

func holdsSocket(dir string, inodes map[string]bool) bool {
	files, err := os.ReadDir(dir + "/fd")
	if err != nil || len(inodes) == 0 { // another user's, or gone
		return false
	}
	for _, f := range files {
		target, _ := os.Readlink(filepath.Join(dir, "fd", f.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
			return true
		}
	}
	return false
}

// ownHost reports whether host is an address of this machine.
func ownHost(host string) bool {
	ips, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	own, _ := net.InterfaceAddrs()
	for _, ip := range ips {
		if ip.IsLoopback() {
			return true
		}
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}
