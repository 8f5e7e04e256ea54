//go:build unix

package egress

import "syscall"

// hasInput reports whether a read of the socket would return at once: with data,
// with the end of the stream or with an error. It consumes nothing.
func hasInput(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR { // a bare system call returns a bare Errno
			return err != syscall.EAGAIN // as above
		}
	}
}
