//go:build unix && !linux

package postgres

// memoryDir returns "": no directory is known to be in memory.
func memoryDir() string { return "" }
