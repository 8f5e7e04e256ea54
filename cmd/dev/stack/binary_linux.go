package stack

import "syscall"

// diesWithParent makes the kernel send SIGTERM to a process when the thread that started it ends. A group of its own
// keeps a Ctrl-C from it.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
