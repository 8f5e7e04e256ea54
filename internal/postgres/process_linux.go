package postgres

import (
	"os"
	"os/exec"
	"syscall"
)

// childAttr makes the kernel send SIGQUIT, PostgreSQL's immediate shutdown, when this
// process dies. That shutdown is quick, so that the next run finds the data directory free,
// and as safe as a power cut: the log is replayed at the next start.
func childAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: cred, Pdeathsig: syscall.SIGQUIT}
}

// watchParent does nothing: the signal of childAttr is enough.
func watchParent(int) (func(), error) {
	return func() {}, nil
}

// canInherit reports whether lendDir works on this system.
const canInherit = true

// lendDir gives dir to the child as a file descriptor and returns the directory's name in
// the child. Under /proc a descriptor leads to the directory itself, whatever
// the permissions of the directories above it, so that root's server can run as another
// user on a directory inside /root or a test's private temporary directory.
func lendDir(cmd *exec.Cmd, dir string) (string, func(), error) {
	f, err := os.Open(dir) //nolint:gosec // the data directory
	if err != nil {
		return "", nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return "/proc/self/fd/" + itoa(2+len(cmd.ExtraFiles)), func() { _ = f.Close() }, nil // opened for reading
}
