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

// watchParent starts a watchdog, the kernel having no parent-death signal.
func watchParent(pid int) (func(), error) {
	return watchdog(pid)
}

// canInherit tells that lendDir does not work here.
const canInherit = false

func lendDir(*exec.Cmd, string) (string, func(), error) {
	return "", nil, errors.ErrUnsupported
}
