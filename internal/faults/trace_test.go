//go:build linux && amd64

package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// point is a system call that changes a disk, or tells somebody.
type point struct {
	call  string
	class string // what kind of file it works on
}

func (p point) String() string { return p.call + " " + p.class }

// calls are the system calls that are stopped at, with the argument that names the
// file: a descriptor, a path, or a folder's descriptor followed by a path.
var calls = map[uint64]struct {
	name string
	arg  int
	kind byte // f, p or d
}{
	unix.SYS_OPEN: {"open", 0, 'p'}, unix.SYS_CREAT: {"creat", 0, 'p'}, unix.SYS_OPENAT: {"openat", 0, 'd'},
	unix.SYS_WRITE: {"write", 0, 'f'}, unix.SYS_PWRITE64: {"pwrite64", 0, 'f'}, unix.SYS_WRITEV: {"writev", 0, 'f'},
	unix.SYS_PWRITEV: {"pwritev", 0, 'f'}, unix.SYS_PWRITEV2: {"pwritev2", 0, 'f'},
	unix.SYS_FSYNC: {"fsync", 0, 'f'}, unix.SYS_FDATASYNC: {"fdatasync", 0, 'f'}, unix.SYS_MSYNC: {"msync", 0, '-'},
	unix.SYS_SYNC_FILE_RANGE: {"sync_file_range", 0, 'f'}, unix.SYS_SYNCFS: {"syncfs", 0, 'f'},
	unix.SYS_FTRUNCATE: {"ftruncate", 0, 'f'}, unix.SYS_TRUNCATE: {"truncate", 0, 'p'}, unix.SYS_FALLOCATE: {"fallocate", 0, 'f'},
	unix.SYS_RENAME: {"rename", 1, 'p'}, unix.SYS_RENAMEAT: {"renameat", 2, 'd'}, unix.SYS_RENAMEAT2: {"renameat2", 2, 'd'},
	unix.SYS_LINK: {"link", 1, 'p'}, unix.SYS_LINKAT: {"linkat", 2, 'd'}, unix.SYS_SYMLINK: {"symlink", 1, 'p'}, unix.SYS_SYMLINKAT: {"symlinkat", 1, 'd'},
	unix.SYS_UNLINK: {"unlink", 0, 'p'}, unix.SYS_UNLINKAT: {"unlinkat", 0, 'd'}, unix.SYS_RMDIR: {"rmdir", 0, 'p'},
	unix.SYS_MKDIR: {"mkdir", 0, 'p'}, unix.SYS_MKDIRAT: {"mkdirat", 0, 'd'},
}

// fault is what is done to one run. The zero value does nothing.
type fault struct {
	at    int // the point, counted from 1 since it was armed; of those that hits takes
	hits  func(point) bool
	how   how
	errno syscall.Errno
	stays bool // also at every later point
}

type how int

const (
	kill  how = iota // SIGKILL before the call
	torn             // SIGKILL when half of a write is done
	fails            // the call is not done and gives an error
	lies             // the call is done and gives an error
)

// traced is a program under the tracer.
type traced struct {
	class func(path string, fd int) string // of a file; "" is no point
	out   *os.File                         // what the program writes to its standard output
	errs  *os.File
	pid   int
	ended chan struct{}

	mu      sync.Mutex
	armed   bool
	fault   fault
	counted int
	points  []point // since it was armed
	struck  []point
	status  syscall.WaitStatus
	err     error // of the tracer
}

// helper marks this test program as the one that puts a filter on itself and turns
// into the program to trace: then only the calls above stop it.
const helper = "LICET_FAULTS_EXEC"

func init() {
	path := os.Getenv(helper)
	if path == "" {
		return
	}
	runtime.LockOSThread()
	err := filter()
	if err == nil {
		env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, helper+"=") })
		err = syscall.Exec(path, os.Args, env)
	}
	fmt.Fprintln(os.Stderr, "faults:", err)
	os.Exit(111)
}

// filter has the kernel stop this thread at the calls.
func filter() error {
	var numbers []uint64
	for n := range calls {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	const number, architecture, flags = 0, 4, 16 + 2*8
	stmt := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	jump := func(code uint16, k uint32, t, f uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, K: k, Jt: t, Jf: f}
	}
	load := uint16(unix.BPF_LD | unix.BPF_W | unix.BPF_ABS)
	equal := uint16(unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K)
	give := uint16(unix.BPF_RET | unix.BPF_K)
	code := []unix.SockFilter{
		stmt(load, architecture),
		jump(equal, unix.AUDIT_ARCH_X86_64, 1, 0),
		stmt(give, unix.SECCOMP_RET_KILL_PROCESS),
		stmt(load, number),
		// Most files are opened to be read.
		jump(equal, unix.SYS_OPENAT, 0, 4),
		stmt(load, flags),
		jump(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, unix.O_CREAT, 0, 1),
		stmt(give, unix.SECCOMP_RET_TRACE),
		stmt(give, unix.SECCOMP_RET_ALLOW),
	}
	for _, n := range numbers {
		if n != unix.SYS_OPENAT {
			code = append(code, jump(equal, uint32(n), 0, 1), stmt(give, unix.SECCOMP_RET_TRACE))
		}
	}
	code = append(code, stmt(give, unix.SECCOMP_RET_ALLOW))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("this kernel has no seccomp filters: %w", err)
	}
	return nil
}

// start starts a program under the tracer.
func start(t testing.TB, folder string, env []string, class func(string, int) string, armed bool, f fault, program string, args ...string) *traced {
	t.Helper()
	p := &traced{class: class, ended: make(chan struct{}), armed: armed, fault: f}
	var err error
	p.out, err = os.CreateTemp(t.TempDir(), "out")
	must(t, err)
	p.errs, err = os.CreateTemp(t.TempDir(), "errs")
	must(t, err)
	t.Cleanup(func() { p.kill(); p.out.Close(); p.errs.Close() })
	self, err := os.Executable()
	must(t, err)
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	begun := make(chan error)
	go func() {
		// All of ptrace is done by one thread. It lives on: the end of a thread kills
		// what others have started from it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		pid, err := syscall.ForkExec(self, append([]string{program}, args...), &syscall.ProcAttr{
			Dir: folder, Env: append(slices.Clone(env), helper+"="+program),
			Files: []uintptr{null.Fd(), p.out.Fd(), p.errs.Fd()},
			Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
		})
		p.pid = pid
		begun <- err
		if err == nil {
			err = p.trace()
		}
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
	}()
	switch err := <-begun; {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSYS):
		t.Skipf("NOTHING IS TESTED HERE: this system forbids ptrace (%v). Allow it (in a container: --cap-add=SYS_PTRACE) to test what happens at each write.", err)
	case err != nil:
		t.Fatal(err)
	}
	return p
}

// trace follows all threads of the program to their end.
func (p *traced) trace() error {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.pid, &status, 0, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACEEXEC
	if err := syscall.PtraceSetOptions(p.pid, options); err != nil {
		return err
	}
	known := map[int]bool{p.pid: true}
	type leaving struct {
		how how
		ret uint64
	}
	inside := map[int]leaving{} // threads that run to the end of their call
	pid := p.pid
	deliver := 0
	for {
		// A thread that was killed in between cannot be continued any more: its end
		// comes next.
		_ = syscall.PtraceCont(pid, deliver)
	wait:
		// Its process group alone: this thread may have started other programs before
		// it became a tracer, and whoever started them waits for them.
		tid, err := syscall.Wait4(-p.pid, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err == syscall.EINTR {
			goto wait
		}
		if err != nil {
			return err
		}
		pid, deliver = tid, 0
		switch {
		case status.Exited() || status.Signaled():
			delete(known, tid)
			if tid == p.pid {
				p.mu.Lock()
				p.status = status
				p.mu.Unlock()
				return nil
			}
			goto wait
		case status.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
			act, ret := p.stopped(tid)
			switch act {
			case kill:
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
				goto wait
			case torn, lies:
				inside[tid] = leaving{act, ret}
				_ = syscall.PtraceSyscall(tid, 0)
				goto wait
			}
		case status.StopSignal() == syscall.SIGTRAP && status.TrapCause() > 0:
			// Another event: a new thread, exec.
		case status.StopSignal() == syscall.SIGTRAP:
			if l, ok := inside[tid]; ok {
				delete(inside, tid)
				if l.how == torn {
					_ = syscall.Kill(p.pid, syscall.SIGKILL)
					goto wait
				}
				var regs syscall.PtraceRegs
				if syscall.PtraceGetRegs(tid, &regs) == nil {
					regs.Rax = l.ret
					_ = syscall.PtraceSetRegs(tid, &regs)
				}
			}
		case status.StopSignal() == syscall.SIGSTOP && !known[tid]:
			// How a new thread begins.
		default:
			deliver = int(status.StopSignal())
		}
		known[tid] = true
	}
}

const nothing how = -1

// stopped decides what becomes of a call that a thread is about to make.
func (p *traced) stopped(tid int) (act how, ret uint64) {
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return nothing, 0
	}
	at, ok := p.at(tid, &regs)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok || !p.armed {
		return nothing, 0
	}
	p.points = append(p.points, at)
	if p.fault.at == 0 || p.fault.hits != nil && !p.fault.hits(at) {
		return nothing, 0
	}
	p.counted++
	if p.counted < p.fault.at || p.counted > p.fault.at && !p.fault.stays {
		return nothing, 0
	}
	p.struck = append(p.struck, at)
	ret = uint64(-int64(p.fault.errno))
	switch p.fault.how {
	case torn:
		regs.Rdx /= 2
		_ = syscall.PtraceSetRegs(tid, &regs)
	case fails:
		// A call with the number -1 is skipped, and gives what stands here.
		regs.Orig_rax, regs.Rax = ^uint64(0), ret
		_ = syscall.PtraceSetRegs(tid, &regs)
		return nothing, 0
	}
	return p.fault.how, ret
}

// at names the point where a thread is.
func (p *traced) at(tid int, regs *syscall.PtraceRegs) (point, bool) {
	call := calls[regs.Orig_rax]
	args := [...]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
	if call.name == "open" && args[1]&unix.O_CREAT == 0 {
		return point{}, false
	}
	descriptor := func(fd int) string {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, fd))
		return strings.TrimSuffix(link, " (deleted)")
	}
	text := func(address uint64) string {
		var buf [4096]byte
		n, _ := syscall.PtracePeekData(tid, uintptr(address), buf[:512])
		before, _, _ := bytes.Cut(buf[:n], []byte{0})
		return string(before)
	}
	fd, path := -1, ""
	switch call.kind {
	case 'f':
		fd = int(int32(args[call.arg]))
		path = descriptor(fd)
	case 'p':
		path = text(args[call.arg])
	case 'd':
		path = text(args[call.arg+1])
		if folder := int(int32(args[call.arg])); folder >= 0 && !filepath.IsAbs(path) {
			path = filepath.Join(descriptor(folder), path)
		}
	}
	class := p.class(path, fd)
	return point{call.name, class}, class != ""
}

// arm begins to count, and has a fault happen.
func (p *traced) arm(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.fault, p.counted, p.points, p.struck = true, f, 0, nil, nil
}

// disarm ends the fault. It gives the points since arm, and those that were hit.
func (p *traced) disarm() (points, struck []point) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	return slices.Clone(p.points), slices.Clone(p.struck)
}

// kill ends the program as a power cut does.
func (p *traced) kill() {
	select {
	case <-p.ended:
	default:
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.ended
	}
}

// wait waits for the end of the program; it gives -1 if it was killed.
func (p *traced) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the program does not end:\n%s%s", p.said(), p.complained())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	must(t, p.err)
	if p.status.Signaled() {
		return -1
	}
	if status := p.status.ExitStatus(); status != 111 {
		return status
	}
	t.Fatalf("the program was not started:\n%s", p.complained())
	return 0
}

func (p *traced) said() string {
	text, _ := os.ReadFile(p.out.Name())
	return string(text)
}

func (p *traced) complained() string {
	text, _ := os.ReadFile(p.errs.Name())
	return string(text)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
