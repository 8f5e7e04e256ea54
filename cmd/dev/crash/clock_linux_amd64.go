package crash

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// canJumpClocks reports whether SetClock works on this platform.
const canJumpClocks = true

// SetClock sets the wall clock of a running process, owned by the same user, to the machine's time plus an offset in
// whole seconds; 0 restores it. Go reads the clock through the kernel's vDSO and uses no C library, so libfaketime
// has no effect on it. SetClock therefore overwrites the vDSO's clock_gettime, in that process only, with code that
// calls the kernel and adds the offset to CLOCK_REALTIME. The monotonic clock, and with it the timers, stay as they
// are, as when an administrator sets a clock.
func SetClock(pid int, offset time.Duration) error {
	seconds := int64(offset / time.Second)
	if seconds > math.MaxInt32 || seconds < math.MinInt32 {
		return fmt.Errorf("clock of process %d: %v is too much", pid, offset)
	}
	first, end, err := vdso(pid)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("clock of process %d: %w", pid, err)
	}
	defer mem.Close() //nolint:errcheck // each write reports its own error
	image := make([]byte, end-first)
	if _, err := mem.ReadAt(image, first); err != nil {
		return fmt.Errorf("read the vDSO of process %d: %w", pid, err)
	}
	code := clockCode(int32(seconds))
	at, err := clockGettime(image, uint64(len(code)))
	if err != nil {
		return err
	}
	return whileOutside(pid, first, end, func() error {
		if _, err := mem.WriteAt(code, first+at); err != nil {
			return fmt.Errorf("write the vDSO of process %d: %w", pid, err)
		}
		return nil
	})
}

// clockCode returns the machine code of clock_gettime(clock in edi, timespec at rsi) with an offset.
func clockCode(seconds int32) []byte {
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 7, // jne to the end
		0x48, 0x81, 0x06, // add qword [rsi], offset
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(seconds)) //nolint:gosec // two's complement is intended
	return append(code, 0xc3)                                      // ret
}

// vdso returns the addresses of the vDSO in the process's memory.
func vdso(pid int) (first, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("clock of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); len(fields) == 6 && fields[5] == "[vdso]" {
			from, to, _ := strings.Cut(fields[0], "-")
			first, err1 := strconv.ParseInt(from, 16, 64)
			end, err2 := strconv.ParseInt(to, 16, 64)
			return first, end, errors.Join(err1, err2)
		}
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// clockGettime returns the offset of clock_gettime in the image. The function must have room for size bytes.
func clockGettime(image []byte, size uint64) (at int64, err error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Size >= size && s.Value < uint64(len(image))-size {
			return int64(s.Value), nil //nolint:gosec // it is inside the image
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime that can be replaced")
}

// whileOutside stops the process at a moment when none of its threads executes code between the addresses, calls do,
// and continues the process.
func whileOutside(pid int, first, end int64, do func() error) error {
	for range 200 {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
		inside, err := anyInside(pid, first, end)
		if err == nil && !inside {
			err = do()
		}
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)); err != nil || !inside {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("process %d was never outside of its vDSO", pid)
}

// anyInside reports whether a thread executes code between the addresses. It returns true if it cannot know, because
// a thread still runs. The last field of a stopped thread's syscall file is its instruction pointer.
func anyInside(pid int, first, end int64) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(tasks) == 0 {
		return false, errors.Join(err, fmt.Errorf("process %d has no threads", pid))
	}
	for _, file := range tasks {
		text, err := os.ReadFile(file) //nolint:gosec // a file in /proc
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return false, fmt.Errorf("clock of process %d: %w", pid, err)
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 { // "running"
			return true, nil
		}
		pointer, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil || pointer >= first && pointer < end {
			return true, nil //nolint:nilerr // an unreadable thread may be inside
		}
	}
	return false, nil
}
