package postgres

import "syscall"

const (
	// memoryPath is a file system in memory.
	memoryPath = "/dev/shm"
	// memoryNeeded is how many bytes must be free there for the data of a temporary server.
	memoryNeeded = 4 << 30
	// mayWrite asks access(2) whether we may make files there.
	mayWrite = 2
)

// memoryDir is the directory in memory for the data of a temporary server: hundreds of files are
// made and removed for each of its databases. It is empty where there is none with room.
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
