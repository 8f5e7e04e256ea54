//go:build unix && !linux

package postgres

import (
	"errors"
	"os/exec"
	"syscall"
)

func childAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: cred}
}

// watchParent starts a watchdog, because the kernel has no parent-death signal.
func watchParent(pid int) (func(), error) {
	return watchdog(pid)
}

// canInherit reports whether lendDir works on this system.
const canInherit = false

func lendDir(*exec.Cmd, string) (string, func(), error) {
	return "", nil, errors.ErrUnsupported
}
