package broker

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// PortError says that an address cannot be listened on because its port is taken.
type PortError struct {
	Key     string // the configuration key, as its flag: "kafka-addr"
	Addr    string
	Process string // who has it, as "name (pid 123)"; "": unknown
	Free    string // an address that was free a moment ago; "": none was found
	Err     error
}

func (e *PortError) Error() string {
	_, port, _ := net.SplitHostPort(e.Addr)
	if e.Process == "" {
		return fmt.Sprintf("port %s (%s %s) is taken", port, e.Key, e.Addr)
	}
	return fmt.Sprintf("port %s (%s %s) is taken by %s", port, e.Key, e.Addr, e.Process)
}

func (e *PortError) Unwrap() error { return e.Err }

// Hint is what to do next.
func (e *PortError) Hint() string {
	if e.Free == "" {
		return "stop that process, or choose another port with --" + e.Key
	}
	return fmt.Sprintf("--%s %s is free", e.Key, e.Free)
}

// listen listens on addr; key names its configuration in errors.
func listen(key, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		return ln, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	host, portText, splitErr := net.SplitHostPort(addr)
	port, portErr := strconv.Atoi(portText)
	if errors.Join(splitErr, portErr) != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return nil, &PortError{Key: key, Addr: addr, Process: portOwner(port), Free: freeNear(host, port), Err: err}
}

// freeNear finds an address on host whose port is a little above port and free now.
func freeNear(host string, port int) string {
	const tries = 20
	for p := port + 1; p <= min(port+tries, 65535); p++ {
		addr := net.JoinHostPort(host, strconv.Itoa(p))
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	return ""
}

// portOwner names the process that listens on a port, as far as /proc tells this user; else "".
func portOwner(port int) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listeningInodes(table, port) {
			if pid := inodeOwner(inode); pid != "" {
				name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
				return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
			}
		}
	}
	return ""
}

// listeningInodes reads a table of sockets: "sl local_address rem_address st ... inode".
func listeningInodes(table string, port int) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	const stateListen, localField, stateField, inodeField = "0A", 1, 3, 9
	suffix := fmt.Sprintf(":%04X", port)
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inodeField && fields[stateField] == stateListen && strings.HasSuffix(fields[localField], suffix) {
			inodes = append(inodes, fields[inodeField])
		}
	}
	return inodes
}

// inodeOwner finds the process that has a socket open.
func inodeOwner(inode string) (pid string) {
	want := "socket:[" + inode + "]"
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == want {
			return strings.Split(fd, "/")[2]
		}
	}
	return ""
}
