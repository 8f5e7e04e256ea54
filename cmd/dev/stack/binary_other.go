//go:build !linux

package stack

import "syscall"

// diesWithParent only keeps a Ctrl-C from a process: this system has no signal for a parent's end.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
