//go:build unix && !linux

package postgres

// memoryDir is empty: no directory is known to be in memory.
func memoryDir() string { return "" }
