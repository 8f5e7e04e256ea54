package postgres

import "syscall"

const (
	// memoryPath is a file system in memory.
	memoryPath = "/dev/shm"
	// memoryNeeded is how many free bytes a temporary server's data needs there.
	memoryNeeded = 4 << 30
	// mayWrite is W_OK of access(2): may this process create files there?
	mayWrite = 2
)

// memoryDir returns a directory in memory for a temporary server's data, or "" if there is none with enough room.
// Each of the server's databases creates and removes hundreds of files.
func memoryDir() string {
	var fs syscall.Statfs_t
	if syscall.Statfs(memoryPath, &fs) != nil || syscall.Access(memoryPath, mayWrite) != nil {
		return ""
	}
	if fs.Bavail*uint64(max(fs.Bsize, 0)) < memoryNeeded {
		return ""
	}
	return memoryPath
}
