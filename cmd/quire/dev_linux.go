package main

import "syscall"

// childAttributes give a broker of `quire dev` a process group of its own, and let it end with its parent, however that ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
