//go:build unix

package postgres

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivileged returns the identity under which PostgreSQL must run, because it
// refuses to run as root: nil (the process's own) unless the process is root, else the user
// postgres if it exists, else nobody.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL cannot run as root and there is no user postgres or nobody: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("parse uid of %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("parse gid of %s: %w", u.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// owner returns the identity to run a server on dir with: the owner of an
// existing directory if the process is root and the owner is not, so that a
// directory created by a user stays that user's; else fallback.
func owner(dir string, fallback *syscall.Credential) *syscall.Credential {
	if fallback == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fallback
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return fallback
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// give makes path belong to cred. It does nothing if cred is nil, the process's own identity.
func give(path string, cred *syscall.Credential) error {
	if cred == nil {
		return nil
	}
	if err := os.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("give %s to uid %d: %w", path, cred.Uid, err)
	}
	return nil
}

// reachable reports whether cred may traverse every directory above path, by
// mode bits alone. The process's own identity (nil) always is.
func reachable(path string, cred *syscall.Credential) bool {
	if cred == nil {
		return true
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && !searchable(info, cred) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func searchable(info os.FileInfo, cred *syscall.Credential) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false
	case st.Uid == cred.Uid:
		return info.Mode()&0o100 != 0
	case st.Gid == cred.Gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}
