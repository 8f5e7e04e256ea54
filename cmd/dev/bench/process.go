package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is a process, with or without its children, that is observed through /proc. Without /proc nothing is
// reported.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Children adds the processor time of the children: PostgreSQL has one child for each connection.
	Children bool `json:"children"`
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 wherever Go runs on Linux.
const tick = 10 * time.Millisecond

// errNoProc reports that the machine has no /proc.
var errNoProc = errors.New("no /proc to read processor time from")

// cpu adds the processor time used so far, in user and system mode, to parts. A process without Children is one part;
// the children of PostgreSQL are parts by database.
func (p Process) cpu(parts map[string]time.Duration) error {
	stat, err := readStat(p.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoProc
	}
	if err != nil {
		return err
	}
	parts[p.Name] += stat.own
	if !p.Children {
		return nil
	}
	// A parent's statistics include its children that have ended.
	parts[p.Name] += stat.children
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		child, err := readStat(pid)
		if err != nil || child.parent != p.PID {
			continue // it has ended by now, or is the child of another process
		}
		name := p.Name
		if title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
			if database := databaseOf(string(title)); database != "" {
				name += " " + database
			}
		}
		parts[name] += child.own + child.children
	}
	return nil
}

// databaseOf returns the database in the title of a PostgreSQL process, such as "postgres: user database
// 127.0.0.1(4242) idle". It returns "" for processes that write for all databases.
func databaseOf(title string) string {
	fields := strings.Fields(strings.TrimRight(title, "\x00"))
	if len(fields) < 4 || fields[0] != "postgres:" || !strings.ContainsAny(fields[3], "([") {
		return ""
	}
	return fields[2]
}

// Peak returns the most memory that was ever resident, in MiB, without children: PostgreSQL's children share most of
// their memory, and a sum would count it many times.
func (p Process) Peak() (float64, error) { return p.memory("VmHWM:") }

// Resident returns the memory that is resident now, in MiB, without children.
func (p Process) Resident() (float64, error) { return p.memory("VmRSS:") }

// MemoryOf returns the resident memory in MiB of the processes without Children, by name. It is empty without /proc.
func MemoryOf(processes []Process) map[string]float64 {
	mib := map[string]float64{}
	for _, p := range processes {
		if now, err := p.Resident(); err == nil && !p.Children {
			mib[p.Name] = now
		}
	}
	return mib
}

// memory returns a member of /proc/PID/status in MiB. The file has it in KiB.
func (p Process) memory(member string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), member)
	if !found {
		return 0, fmt.Errorf("process %d has no %s", p.PID, strings.TrimSuffix(member, ":"))
	}
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kib / 1024, err
}

type procStat struct {
	parent        int
	own, children time.Duration
}

func readStat(pid int) (procStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(text))
}

// parseStat parses the fields 4 and 14 to 17 of proc(5). The command's name is in parentheses and may hold anything,
// so fields are counted from its end.
func parseStat(text string) (s procStat, err error) {
	end := strings.LastIndex(text, ") ")
	if end < 0 {
		return s, fmt.Errorf("stat %q: no command", text)
	}
	fields := strings.Fields(text[end+2:])
	if len(fields) < 15 {
		return s, fmt.Errorf("stat %q: %d fields after the command", text, len(fields))
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, err
	}
	var ticks [4]time.Duration
	for i := range ticks {
		n, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return s, err
		}
		ticks[i] = time.Duration(n) * tick
	}
	s.own, s.children = ticks[0]+ticks[1], ticks[2]+ticks[3]
	return s, nil
}

// cpuOf returns the processor time of each process by name, and of PostgreSQL also by database. It is empty without
// /proc.
func cpuOf(processes []Process) (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	for _, p := range processes {
		if err := p.cpu(used); errors.Is(err, errNoProc) {
			return map[string]time.Duration{}, nil
		} else if err != nil {
			return nil, fmt.Errorf("processor time of %s: %w", p.Name, err)
		}
	}
	return used, nil
}
