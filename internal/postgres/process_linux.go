package postgres

import (
	"os"
	"os/exec"
	"syscall"
)

// childAttr asks the kernel for SIGQUIT, PostgreSQL's immediate shutdown, at
// our death. It is quick, so that the next run finds the data directory free,
// and no less safe than a power cut: the log is replayed at the next start.
func childAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: cred, Pdeathsig: syscall.SIGQUIT}
}

// watchParent has nothing to do: childAttr saw to it.
func watchParent(int) (func(), error) {
	return func() {}, nil
}

// canInherit tells that lendDir works here.
const canInherit = true

// lendDir hands dir to the child as a file descriptor and returns the name it
// has there. Under /proc a descriptor leads to the directory itself, whatever
// the directories above it permit, so that root's server can run as another
// user on a directory inside /root or a test's closed temporary directory.
func lendDir(cmd *exec.Cmd, dir string) (string, func(), error) {
	f, err := os.Open(dir) //nolint:gosec // the data directory
	if err != nil {
		return "", nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return "/proc/self/fd/" + itoa(2+len(cmd.ExtraFiles)), func() { _ = f.Close() }, nil // opened for reading
}
