package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in the data directory, beside the partitions' directories.
const (
	lockFile       = "quire.lock"
	metaFile       = "quire.meta"
	peersFile      = "quire.peers"
	controllerDir  = "controller"
	dataDirPerm    = 0o755
	dataFilePerm   = 0o644
	metaFileSuffix = ".new"
)

// LockedError says that another broker is using the data directory.
type LockedError struct {
	Dir string
	PID int // 0: unknown
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s", e.Dir, who)
}

// Hint is what to do next.
func (e *LockedError) Hint() string {
	if e.PID != 0 {
		return fmt.Sprintf("stop it with kill %d, or give this broker a --data-dir of its own", e.PID)
	}
	return "give this broker a --data-dir of its own"
}

// NodeIDError says that the data directory is another broker's.
type NodeIDError struct {
	Dir              string
	Node, Configured int32
}

func (e *NodeIDError) Error() string {
	return fmt.Sprintf("data directory %s belongs to node %d, but node-id is %d", e.Dir, e.Node, e.Configured)
}

// Hint is what to do next.
func (e *NodeIDError) Hint() string {
	return fmt.Sprintf("start it with --node-id %d, or give this broker a --data-dir of its own", e.Node)
}

// lockDir makes dir if need be and locks it until the file is closed: the kernel lets go when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, dataDirPerm); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, dataFilePerm)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
		}
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// replaceFile writes a file of dir so that after a crash it is there whole or not at all.
func replaceFile(dir, name string, text []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+metaFileSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, dataFilePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+metaFileSuffix, path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
