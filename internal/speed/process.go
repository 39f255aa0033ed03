package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server under measurement.
type process struct {
	cmd     *exec.Cmd
	address string // host:port
	started time.Duration
}

// start runs a server that prints its address, http://…, in its first line, and
// waits until it answers at a path. Its log goes to a file.
func start(log, ready string, name string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	began := time.Now()
	cmd := exec.Command(name, args...)
	cmd.Stderr = file
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, rest, _ := strings.Cut(line, "http://")
		p.address, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
		err = p.wait(ready)
	}
	p.started = time.Since(began)
	if err != nil {
		p.stop()
		text, _ := os.ReadFile(log)
		return nil, fmt.Errorf("%s: %q: %w\n%s", filepath.Base(name), line, err, text)
	}
	return p, nil
}

func (p *process) wait(path string) error {
	var err error
	for range 2000 {
		var res *http.Response
		if res, err = http.Get("http://" + p.address + path); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// stop ends the server gracefully.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	_ = p.cmd.Wait()
}

func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

// settle waits until the server is idle: at 64 clients the audit log is written
// behind the requests, and that is part of what they cost.
func (p *process) settle() {
	last := p.cpu()
	for range 20 {
		time.Sleep(1200 * time.Millisecond)
		now := p.cpu()
		if now-last < 5*time.Millisecond {
			return
		}
		last = now
	}
}

// cpuOf is the processor time that a process has used, in nanoseconds where the
// kernel counts them.
func cpuOf(pid int) time.Duration {
	var sum int64
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		if text, err := os.ReadFile(t); err == nil {
			n, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			sum += n
		}
	}
	if sum > 0 {
		return time.Duration(sum)
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is what a process holds now and held at most, in MiB.
func (p *process) memory() (now, peak float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = n / 1024
		case "VmHWM:":
			peak = n / 1024
		}
	}
	return now, peak
}

// waitQuiet waits until the processors are less busy than so many percent, for
// at most so long, and says how busy they were.
func waitQuiet(percent int, most time.Duration) int {
	for end := time.Now().Add(most); ; {
		busy := busyFor(time.Second)
		if busy <= percent || time.Now().After(end) {
			return busy
		}
	}
}

func busyFor(d time.Duration) int {
	all, idle := ticks()
	time.Sleep(d)
	all2, idle2 := ticks()
	if all2 == all {
		return 0
	}
	return int(100 - 100*(idle2-idle)/(all2-all))
}

func ticks() (all, idle int64) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		n, _ := strconv.ParseInt(f, 10, 64) // the first field is a name
		all += n
		if i == 4 || i == 5 {
			idle += n
		}
	}
	return all, idle
}
