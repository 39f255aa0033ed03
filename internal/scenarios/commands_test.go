package scenarios

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"licet/internal/durable"
	"licet/internal/licetcmd"
	"licet/internal/machine"
	"licet/license"
	"licet/wire"
)

// commands are the script's words besides those of testscript; doc.go explains
// them.
var commands map[string]func(*testscript.TestScript, bool, []string)

func init() {
	commands = map[string]func(*testscript.TestScript, bool, []string){
		"licet":    licetCommand,
		"central":  centralCommand,
		"exits":    exitsCommand,
		"machine":  machineCommand,
		"sell":     sellCommand,
		"upload":   uploadCommand,
		"together": togetherCommand,
		"call":     callCommand,
		"json":     jsonCommand,
		"set":      setCommand,
		"state":    stateCommand,
		"flags":    flagsCommand,
		"times":    timesCommand,

		"unchanged": plain(unchanged),
		"clock":     plain(setClock),
		"network":   plain(setNetwork),
		"sent":      plain(sent),
		"disk":      plain(setDisk),
		"crashes":   plain(crashes),
		"atonce":    plain(atOnce),
		"traits":    plain(setTraits),
		"snapshot":  plain(snapshot),
		"rollback":  plain(rollback),
		"clone":     plain(clone),
		"copy":      plain(copyHome),
		"agent":     plain(agent),
		"share":     plain(share),
		"cable":     plain(pullCable),
		"flipbit":   plain(flipBit),
		"cut":       plain(cut),
		"vendor":    plain(vendorCommand),
		"loses":     plain(losesCommand),
		"hides":     plain(hides),
		"receiver":  plain(receiverCommand),
		"received":  plain(received),
		"signer":    signerCommand,
		"until":     plain(until),
	}
}

// plain is a command that cannot be negated and fails with its error.
func plain(run func(ts *testscript.TestScript, s *stage, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this cannot be negated")
		}
		ts.Check(run(ts, theStage(ts), args))
	}
}

func theStage(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

var errUsage = errors.New("wrong usage: see doc.go")

// machineNamed finds a machine.
func (s *stage) machineNamed(name string) (*host, error) {
	h, ok := s.machines[name]
	if !ok {
		return nil, fmt.Errorf("there is no machine %q: say \"machine %s\" first", name, name)
	}
	return h, nil
}

// onMachine is the machine that args begin with, and the rest of args, of which
// there must be n at least.
func (s *stage) onMachine(args []string, n int) (*host, []string, error) {
	if len(args) < 1+n {
		return nil, nil, errUsage
	}
	h, err := s.machineNamed(args[0])
	return h, args[1:], err
}

// atVendor is the vendor that args begin with, if they name one, and the rest.
func (s *stage) atVendor(ts *testscript.TestScript, args []string) (*vendor, []string) {
	name := ""
	if len(args) > 0 && strings.HasPrefix(args[0], "@") {
		name, args = args[0][1:], args[1:]
	}
	v, ok := s.vendors[name]
	if !ok {
		ts.Fatalf("there is no vendor %q", name)
	}
	return v, args
}

// asFile says which arguments name files, by their endings.
var asFile = regexp.MustCompile(`\.(licet-[\w-]+|trust|yaml|csv|json|txt|key|backup|\w+-file)$`)

// fileArgs makes the names of files absolute: the commands run in the test's own
// process, whose folder is not the script's.
func fileArgs(ts *testscript.TestScript, args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if !strings.Contains(a, "://") && asFile.MatchString(a) && !strings.HasPrefix(a, "-") {
			out[i] = ts.MkAbs(a)
		}
	}
	return out
}

// run runs a command line of either program and shows what it wrote.
func run(ts *testscript.TestScript, program string, args []string) (status int) {
	s := theStage(ts)
	var out, errs string
	switch program {
	case "licet":
		h, rest, err := s.onMachine(args, 0)
		ts.Check(err)
		var in io.Reader = strings.NewReader("")
		if n := len(rest); n > 0 && strings.HasPrefix(rest[n-1], "<") {
			in = strings.NewReader(ts.ReadFile(rest[n-1][1:]))
			rest = rest[:n-1]
		}
		status, out, errs = h.licet(in, fileArgs(ts, rest)...)
	case "central":
		v, rest := s.atVendor(ts, args)
		status, out, errs = s.central(v, fileArgs(ts, rest)...)
	default:
		ts.Fatalf("%q is neither licet nor central", program)
	}
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errs)
	return status
}

// mustExit runs a command line and checks its exit status.
func mustExit(ts *testscript.TestScript, want int, program string, args []string) {
	if got := run(ts, program, args); got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

func exitOf(neg bool) int {
	if neg {
		return 1
	}
	return 0
}

func licetCommand(ts *testscript.TestScript, neg bool, args []string) {
	mustExit(ts, exitOf(neg), "licet", args)
}

func centralCommand(ts *testscript.TestScript, neg bool, args []string) {
	mustExit(ts, exitOf(neg), "central", args)
}

func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Check(errUsage)
	}
	if args[0] == "any" {
		if got := run(ts, args[1], args[2:]); got != 0 && got != 1 {
			ts.Fatalf("exit status %d, neither 0 nor 1", got)
		}
		return
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	mustExit(ts, want, args[1], args[2:])
}

func machineCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	stranger := len(args) > 0 && args[0] == "-stranger"
	if stranger {
		args = args[1:]
	}
	for _, name := range args {
		h := s.add(name)
		if stranger {
			continue
		}
		if status, _, errs := h.licet(nil, "trust", "add", s.vendors[""].trust()); status != 0 {
			ts.Fatalf("trust: %s", errs)
		}
	}
}

func sellCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	v, args := s.atVendor(ts, args)
	if neg || len(args) < 2 {
		ts.Check(errUsage)
	}
	s.orders++
	number := strconv.Itoa(1000 + s.orders)
	line := []string{"order", "create", "--customer", "Ada Lovelace", "--number", number, "--json"}
	for _, item := range args[1:] {
		line = append(line, "--item", item)
	}
	status, out, errs := s.central(v, line...)
	if status != 0 {
		ts.Fatalf("the order: %s", errs)
	}
	order, err := decode(out)
	ts.Check(err)
	value := func(path string) string {
		found, err := lookUp(order, path)
		ts.Check(err)
		return found[0]
	}
	ts.Setenv(args[0], value("ticket"))
	ts.Setenv(args[0]+"0", number)
	count, err := strconv.Atoi(value("licenses.len"))
	ts.Check(err)
	for i := range count {
		ts.Setenv(args[0]+strconv.Itoa(i+1), value(fmt.Sprintf("licenses.%d.id", i)))
	}
}

// post sends a file to a vendor's gateway.
func (s *stage) post(v *vendor, path string, file []byte) (status int, answer []byte, err error) {
	return s.http(http.MethodPost, v.url+path, http.Header{"Content-Type": {wire.MediaFile}}, file)
}

func (s *stage) http(method, url string, header http.Header, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(s.ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

func uploadCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	v, args := s.atVendor(ts, args)
	var path, to string
	switch {
	case len(args) == 2 && args[0] == "receipt":
		path = wire.PathReceipt
	case len(args) == 2 && args[0] == "program" && neg:
		path = wire.PathProgram
	case len(args) == 4 && args[0] == "program" && args[2] == "->":
		path, to = wire.PathProgram, args[3]
	default:
		ts.Check(errUsage)
	}
	status, answer, err := s.post(v, path, []byte(ts.ReadFile(args[1])))
	ts.Check(err)
	if to == "" || status != http.StatusOK {
		fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	} else {
		ts.Check(os.WriteFile(ts.MkAbs(to), answer, 0o600))
	}
	if (status >= 400) != neg {
		ts.Fatalf("the server answers with status %d", status)
	}
}

func togetherCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%3 != 0 {
		ts.Check(errUsage)
	}
	s := theStage(ts)
	failed := make([]error, len(args)/3)
	var uploads sync.WaitGroup
	for i := range failed {
		from, to := []byte(ts.ReadFile(args[3*i])), ts.MkAbs(args[3*i+2])
		uploads.Go(func() {
			status, answer, err := s.post(s.vendors[""], wire.PathProgram, from)
			switch {
			case err != nil:
				failed[i] = err
			case status != http.StatusOK:
				failed[i] = fmt.Errorf("the server answers with status %d: %s", status, answer)
			default:
				failed[i] = os.WriteFile(to, answer, 0o600)
			}
		})
	}
	uploads.Wait()
	ts.Check(errors.Join(failed...))
}

func callCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	v, args := s.atVendor(ts, args)
	if len(args) < 2 {
		ts.Check(errUsage)
	}
	method, path, args := args[0], args[1], args[2:]
	token, err := os.ReadFile(filepath.Join(v.dir, "admin.token"))
	ts.Check(err)
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + strings.TrimSpace(string(token))}}
	for len(args) >= 2 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-key":
			header.Set("Idempotency-Key", args[1])
		case "-token":
			header.Set("Authorization", "Bearer "+args[1])
		default:
			ts.Check(errUsage)
		}
		args = args[2:]
	}
	var body []byte
	if len(args) == 1 {
		body = []byte(ts.ReadFile(args[0]))
	}
	status, answer, err := s.http(method, v.url+path, header, body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	if (status >= 400) != neg {
		ts.Fatalf("the server answers with status %d", status)
	}
}

func stateCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	v, args := s.atVendor(ts, args)
	if neg || len(args) != 2 {
		ts.Check(errUsage)
	}
	_, out, errs := s.central(v, "license", "show", args[0], "--json")
	doc, err := decode(out)
	if err != nil {
		ts.Fatalf("%s", errs)
	}
	if got, err := lookUp(doc, "state"); err != nil || got[0] != args[1] {
		ts.Fatalf("the license is %v, not %s", got, args[1])
	}
}

func flagsCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theStage(ts)
	if neg && len(args) != 1 || !neg && len(args) != 2 {
		ts.Check(errUsage)
	}
	h, err := s.machineNamed(args[0])
	ts.Check(err)
	serial, err := h.serial()
	ts.Check(err)
	_, out, errs := s.central(s.vendors[""], "container", "show", serial, "--json")
	doc, err := decode(out)
	if err != nil {
		ts.Fatalf("%s", errs)
	}
	reason, err := lookUp(doc, "flag.reason")
	switch {
	case neg && err == nil:
		ts.Fatalf("the container is flagged: %s", reason[0])
	case neg:
	case err != nil:
		ts.Fatalf("the container is not flagged")
	case !regexp.MustCompile(args[1]).MatchString(reason[0]):
		ts.Fatalf("the container is flagged, but because: %s", reason[0])
	}
}

// serial is the serial of the machine's only container.
func (h *host) serial() (string, error) {
	// A container that a power cut left half made has no slot yet, and is none.
	slots, err := filepath.Glob(filepath.Join(h.home, "containers", "*", "a"))
	if err != nil || len(slots) != 1 {
		return "", fmt.Errorf("machine %s has %d containers (%v)", h.name, len(slots), err)
	}
	return filepath.Base(filepath.Dir(slots[0])), nil
}

func timesCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Check(errUsage)
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i := range n {
		line := strings.ReplaceAll(args[1], "%", strconv.Itoa(i+1))
		line, no := strings.CutPrefix(os.Expand(line, ts.Getenv), "! ")
		words := strings.Fields(line)
		command := commands[words[0]]
		if command == nil {
			ts.Fatalf("unknown command %q", words[0])
		}
		command(ts, no, words[1:])
	}
}

func unchanged(_ *testscript.TestScript, s *stage, args []string) error {
	h, _, err := s.onMachine(args, 0)
	if err == nil && !h.before.equal(h.after) {
		err = fmt.Errorf("the last command on %s changed its home", h.name)
	}
	return err
}

func setClock(_ *testscript.TestScript, s *stage, args []string) error {
	var h *host
	if len(args) == 2 {
		var err error
		if h, err = s.machineNamed(args[0]); err != nil {
			return err
		}
		args = args[1:]
	}
	if len(args) != 1 {
		return errUsage
	}
	by, err := timeSpan(args[0])
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h != nil:
		h.offset = by
	case by <= 0:
		return errors.New("time only goes forward; set the clock of one machine instead")
	default:
		s.now = s.now.Add(by)
	}
	return nil
}

// timeSpan reads +48h, -10d and +20y.
func timeSpan(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	rest = strings.TrimPrefix(rest, "+")
	if years, ok := strings.CutSuffix(rest, "y"); ok {
		n, err := strconv.Atoi(years)
		if err != nil {
			return 0, err
		}
		rest = strconv.Itoa(365*n) + "d"
	}
	if rest == "0" {
		return 0, nil
	}
	d, err := license.ParseDuration(rest)
	if negative {
		d = -d
	}
	return d.Go(), err
}

func setNetwork(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up", "down", "mute":
		h.net.down, h.net.mute = args[0] == "down", args[0] == "mute"
		return nil
	}
	return errUsage
}

func sent(ts *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err == nil {
		err = os.WriteFile(ts.MkAbs(args[0]), h.net.sent, 0o600)
	}
	return err
}

func setDisk(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	switch {
	case err != nil:
		return err
	case args[0] == "ok":
		h.disk.Fault = nil
	case args[0] == "full":
		h.disk.Fault = func(op durable.Op, _ string) error {
			switch op {
			case durable.OpOpen, durable.OpWrite, durable.OpMkdir:
				return syscall.ENOSPC
			}
			return nil
		}
	case args[0] == "dies" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		h.cutAt(n)
	default:
		return errUsage
	}
	return nil
}

// crashes runs a command with the power cut at every write point in turn. After
// each cut the container is what it was or what it becomes, and the command
// repeated ends as if nothing had happened.
func crashes(ts *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err != nil {
		return err
	}
	args = fileArgs(ts, args)
	dir := filepath.Join(s.work, ".before-"+h.name)
	if err := h.keep(dir); err != nil {
		return err
	}
	old := h.content()
	status, out, errs := h.licet(nil, args...)
	if status != 0 {
		return fmt.Errorf("without a cut: exit status %d\n%s%s", status, out, errs)
	}
	next := h.content()
	if old == next {
		return errors.New("the command changes nothing")
	}
	for n := 1; ; n++ {
		if err := h.putBack(dir); err != nil {
			return err
		}
		reached := h.cutAt(n)
		status, out, errs := h.licet(nil, args...)
		if !reached() {
			if n < 5 {
				return fmt.Errorf("the command has only %d write points", n-1)
			}
			ts.Logf("%d write points", n-1)
			return nil
		}
		now := h.content()
		switch {
		case status == 0 && now != next:
			return fmt.Errorf("cut at point %d: it reports success and the content is\n%s", n, now)
		case status != 0 && !strings.Contains(errs, "disk is full or cannot be written"):
			return fmt.Errorf("cut at point %d: it says %s%s", n, out, errs)
		case now != old && now != next:
			return fmt.Errorf("cut at point %d: the content is neither old nor new:\n%s", n, now)
		}
		if status, out, errs := h.licet(nil, args...); status != 0 {
			return fmt.Errorf("repeated after a cut at point %d: exit status %d\n%s%s", n, status, out, errs)
		}
		if now := h.content(); now != next {
			return fmt.Errorf("repeated after a cut at point %d: the content is\n%s", n, now)
		}
	}
}

// atOnce runs a command several times at the same moment.
func atOnce(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) < 4 {
		return errUsage
	}
	n, err := strconv.Atoi(args[0])
	want, err2 := strconv.ParseInt(args[1], 10, 64)
	if err != nil || err2 != nil {
		return errUsage
	}
	h, args, err := s.onMachine(args[2:], 1)
	if err != nil {
		return err
	}
	var done atomic.Int64
	var failed atomic.Pointer[string]
	var runs sync.WaitGroup
	for range n {
		runs.Go(func() {
			env, _, errs := h.environment(nil)
			switch status := licetcmd.Main(s.ctx, env, append([]string{"--home", h.home}, args...)); status {
			case 0:
				done.Add(1)
			case 1:
			default:
				text := fmt.Sprintf("exit status %d: %s", status, errs)
				failed.Store(&text)
			}
		})
	}
	runs.Wait()
	if text := failed.Load(); text != nil {
		return errors.New(*text)
	}
	if done.Load() != want {
		return fmt.Errorf("%d of %d are done, not %d", done.Load(), n, want)
	}
	return nil
}

// content is what the machine says it has.
func (h *host) content() string {
	_, out, errs := h.licet(nil, "container", "list", "--json")
	return out + errs
}

func setTraits(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 2)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range args[1:] {
		good := usual(h.name)
		i := slices.IndexFunc(good, func(t machine.Trait) bool { return t.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no trait %q", name)
		}
		h.traits = slices.DeleteFunc(slices.Clone(h.traits), func(t machine.Trait) bool { return t.Name == name })
		switch args[0] {
		case "missing":
		case "back":
			h.traits = append(h.traits, good[i])
		case "changed":
			good[i].Value += ", another one"
			h.traits = append(h.traits, good[i])
		default:
			return errUsage
		}
	}
	return nil
}

func (s *stage) kept(h *host, name string) string {
	return filepath.Join(s.work, ".kept", h.name+"-"+name)
}

func snapshot(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err == nil {
		err = h.keep(s.kept(h, args[0]))
	}
	return err
}

func rollback(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err == nil {
		err = h.putBack(s.kept(h, args[0]))
	}
	return err
}

func clone(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err != nil {
		return err
	}
	twin := s.add(args[0])
	twin.traits = h.present()
	return twin.putBack(h.home)
}

func copyHome(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err != nil {
		return err
	}
	return s.add(args[0]).putBack(h.home)
}

func agent(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	switch {
	case err != nil:
		return err
	case args[0] == "on" && h.agent == nil:
		return h.serve()
	case args[0] == "off" && h.agent != nil:
		h.agent()
		return nil
	}
	return errUsage
}

// share lets a machine share the seats of its licenses: $A is its address. With -move
// it does so at another address than before.
func share(ts *testscript.TestScript, s *stage, args []string) error {
	moves := len(args) > 0 && args[0] == "-move"
	if moves {
		args = args[1:]
	}
	h, args, err := s.onMachine(args, 0)
	if err != nil {
		return err
	}
	if h.agent != nil {
		h.agent()
	}
	address := "127.0.0.1:0"
	if h.shares != "" && !moves {
		address = h.shares
	}
	err = h.serve(append([]string{"--listen", address}, args...)...)
	ts.Setenv(h.name, h.shares)
	return err
}

// pullCable takes a machine off the network between users' machines, where it asks
// license servers: calls do not arrive (off), or their answers do not (mute).
func pullCable(_ *testscript.TestScript, s *stage, args []string) error {
	h, args, err := s.onMachine(args, 1)
	if err != nil {
		return err
	}
	switch args[0] {
	case "off", "mute", "on":
		h.net.unplugged, h.net.unheard = args[0] == "off", args[0] == "mute"
		return nil
	}
	return errUsage
}

// flipBit alters the content of a file, not its frame: bit n of the bytes
// between the first and the last line.
func flipBit(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) != 3 {
		return errUsage
	}
	data := []byte(ts.ReadFile(args[0]))
	n, err := strconv.Atoi(args[2])
	start := bytes.IndexByte(data, '\n') + 1
	if err != nil || start+n/8 >= len(data) {
		return fmt.Errorf("%s has no bit %s", args[0], args[2])
	}
	data[start+n/8] ^= 1 << (n % 8)
	return os.WriteFile(ts.MkAbs(args[1]), data, 0o600)
}

func cut(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) != 3 {
		return errUsage
	}
	data := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[2])
	if err != nil || n > len(data) {
		return fmt.Errorf("%s has %d bytes", args[0], len(data))
	}
	return os.WriteFile(ts.MkAbs(args[1]), []byte(data[:n]), 0o600)
}

func vendorCommand(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) == 1 && args[0] == "-stop" {
		s.vendors[""].stop()
		s.vendors[""].stop = nil
		return nil
	}
	if len(args) == 1 && args[0] == "-start" {
		v := s.vendors[""]
		return s.open(v, strings.TrimPrefix(v.url, "http://"))
	}
	if len(args) == 2 && args[0] == "-stop" {
		v, _ := s.atVendor(ts, []string{"@" + args[1]})
		v.stop()
		v.stop = nil
		return nil
	}
	if len(args) < 1 {
		return errUsage
	}
	found := func() (*vendor, error) { return s.found(args[0], args[1:]...) }
	if args[0] == "-copy" && len(args) == 2 {
		args = args[1:]
		found = func() (*vendor, error) { return s.rob(args[0]) }
	}
	v, err := found()
	if err != nil {
		return err
	}
	ts.Setenv(args[0], v.url)
	ts.Setenv(args[0]+"_TRUST", v.trust())
	return nil
}

// hides looks into the bytes that a file carries for texts that must not be
// readable in it.
func hides(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	_, rest, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	body, _, _ := strings.Cut(rest, "-----END")
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return err
	}
	for _, secret := range args[1:] {
		if bytes.Contains(raw, []byte(secret)) {
			return fmt.Errorf("%q can be read in %s", secret, args[0])
		}
	}
	return nil
}
