package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns what all threads of this process have used.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processTime returns what all threads of a running process have used, in steps
// of 10 ms.
func processTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold spaces; utime and stime are the 12th and
	// 13th field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseUint(fields[11], 10, 64)
	system, _ := strconv.ParseUint(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peakRSS returns the most bytes that a running process had in memory.
func peakRSS(pid int) uint64 { return statusBytes(pid, "VmHWM:") }

// residentNow returns how many bytes a running process has in memory.
func residentNow(pid int) uint64 { return statusBytes(pid, "VmRSS:") }

func statusBytes(pid int, name string) uint64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseUint(strings.Fields(kib)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// descriptors returns how many descriptors a running process has open.
func descriptors(pid int) int {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return len(open)
}

// busyTime returns how long all processors were busy since the machine came up.
func busyTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	var ticks uint64 // of 10 ms
	for i, field := range strings.Fields(string(line)) {
		// cpu, user, nice, system, idle, iowait, irq, softirq, steal, guest...
		if n, err := strconv.ParseUint(field, 10, 64); err == nil && i != 4 && i != 5 && i < 9 {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// loadAverage returns the load of the last minute.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, _ := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	return load
}

// processor returns the name of the first processor.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// memorySize returns the bytes of memory of the machine.
func memorySize() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// kernel returns the release of the system.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// settle writes everything to the disk, so that no run pays for what another
// left behind.
func settle() { unix.Sync() }

// canDropCache says whether dropCache works here.
const canDropCache = true

// dropCache makes all files below dir leave the system's cache.
func dropCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		// Only what is on the disk can be dropped.
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// writeBehind waits until the range is on its way to the disk and there, and
// drops it from the cache. It makes nothing durable.
func writeBehind(f *os.File, off, size int64) error {
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := unix.SyncFileRange(int(f.Fd()), off, size, flags); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), off, size, unix.FADV_DONTNEED)
}

// dataSync makes the content of f durable.
func dataSync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// tcpBytes returns what the TCP connections that this process has open carried by
// the kernel's own count: all that TLS and multiplexer add is in it, headers of
// packets are not.
func tcpBytes() (in, out uint64) {
	const dir = "/proc/self/fd/"
	open, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0
	}
	for _, e := range open {
		target, err := os.Readlink(dir + e.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.State == tcpListen {
			continue // no TCP
		}
		in += info.Bytes_received
		out += info.Bytes_acked
	}
	return in, out
}

const tcpListen = 10 // TCP_LISTEN of the kernel

// machineClock returns nanoseconds on a clock that all processes of the machine
// share.
func machineClock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}
