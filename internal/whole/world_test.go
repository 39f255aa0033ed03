package whole

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"licet/internal/agent"
	"licet/internal/gateway"
	"licet/internal/machine"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/web"
	"licet/license"
	"licet/wire"
)

const catalogYAML = `
products:
  - code: CAD
    name: CAD Professional
    model: perpetual_single
    features: [render]
  - code: ADDON
    name: Add-on
    model: perpetual_single
    requires: [CAD]
  - code: FIXED
    name: Not to be returned
    model: perpetual_single
    deactivation: false
  - code: YEAR
    name: One year
    model: subscription_single
    terms: {expires_in: 365d}
  - code: TEAM
    name: For a team
    model: perpetual_multi
    terms: {seats: 5}
`

var products = []string{"CAD", "CAD", "CAD", "ADDON", "FIXED", "YEAR", "TEAM", "TEAM"}

// vendor is a database that was set up once; every run begins with a copy.
type vendor struct {
	file   string
	secret []byte
	trust  []byte
	token  string
}

// chance is a source of random bytes that gives the same again.
func chance(name string) func([]byte) {
	source := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	return func(p []byte) { _, _ = source.Read(p) } // it never fails
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{file: filepath.Join(t.TempDir(), "licet.db"), secret: bytes.Repeat([]byte{7}, 32)}
	db, err := store.Open(t.Context(), "sqlite:"+v.file)
	must(t, err)
	cfg := registry.Config{DB: db, Secret: v.secret, Now: func() time.Time { return start }, Random: chance("vendor"), Log: slog.New(slog.DiscardHandler)}
	res, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Address: "http://127.0.0.1:1"})
	must(t, err)
	v.trust, v.token = res.Trust, res.AdminToken
	reg, err := registry.Open(t.Context(), cfg)
	must(t, err)
	admin, err := reg.Authenticate(t.Context(), v.token)
	must(t, err)
	_, err = reg.ApplyCatalog(t.Context(), admin, wire.CatalogRequest{YAML: catalogYAML})
	must(t, err)
	must(t, db.Close())
	if _, err := os.Stat(v.file + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the closed database left its log: %v", err)
	}
	return v
}

// world is one run.
type world struct {
	ctx      context.Context
	folder   string
	now      time.Time
	db       *store.DB
	registry *registry.Registry
	admin    registry.Actor
	gateway  http.Handler
	machines []*computer
	orders   []wire.Order
	licenses []license.ID // as they were sold, and parts of them
	seats    int64        // of all that were sold
	requests []*carried
	updates  []*carried
	receipts [][]byte
	done     map[string]int // what happened, by its name
}

// carried is a request file or an update file, the machine that asked, and how
// often it was handed in.
type carried struct {
	from *computer
	data []byte
	sent int
}

// newWorld builds a world in a folder of its own. close ends it.
func newWorld(t testing.TB, v *vendor, folder string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{ctx: ctx, folder: folder, now: start, done: map[string]int{}}
	must(t, os.MkdirAll(folder, 0o700))
	data, err := os.ReadFile(v.file)
	must(t, err)
	file := filepath.Join(folder, "licet.db")
	must(t, os.WriteFile(file, data, 0o600))
	w.db, err = store.Open(ctx, "sqlite:"+file)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	w.registry, err = registry.Open(ctx, registry.Config{DB: w.db, Secret: v.secret, Now: w.clock, Random: chance("registry"), Log: log})
	must(t, err)
	w.admin, err = w.registry.Authenticate(ctx, v.token)
	must(t, err)
	w.gateway = gateway.New(w.registry, log, web.Limits{})
	for i := range 3 {
		m := &computer{world: w, name: strconv.Itoa(i), home: filepath.Join(folder, "home"+strconv.Itoa(i)), random: chance("machine " + strconv.Itoa(i))}
		m.restart()
		_, err := m.agent.TrustAdd(ctx, agent.TrustRequest{File: v.trust})
		must(t, err)
		w.machines = append(w.machines, m)
	}
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) close(t testing.TB) {
	t.Helper()
	must(t, w.db.Close())
	must(t, os.RemoveAll(w.folder))
}

// computer is a machine with an agent.
type computer struct {
	*world
	name   string
	home   string
	random func([]byte)
	agent  *agent.Client

	kept   []string // copies of the home folder
	rolled bool     // one of them was put back
}

// restart forgets everything but the home folder.
func (m *computer) restart() {
	traits := []machine.Trait{
		{Name: machine.MachineID, Value: "id of " + m.name, Weight: 4},
		{Name: machine.NetworkAddress, Value: "address of " + m.name, Weight: 3},
		{Name: machine.DiskID, Value: "disk of " + m.name, Weight: 3},
		{Name: machine.RootFilesystem, Value: "filesystem of " + m.name, Weight: 2},
		{Name: machine.ComputerModel, Value: "model", Weight: 1},
		{Name: machine.Processor, Value: "processor", Weight: 1},
		{Name: machine.HostName, Value: "host " + m.name, Weight: 1},
	}
	m.agent = agent.Connect(agent.Config{
		Home: m.home, Now: m.clock, Random: m.random,
		Traits: func() []machine.Trait { return traits },
		HTTP:   &http.Client{Transport: carrier{m}},
	})
}

// network is how well a machine's way to the world works.
type network int

const (
	works       network = iota
	down                // nothing goes out
	answerLost          // requests arrive, answers are lost
	receiptLost         // receipts do not go out
	receiptMute         // receipts arrive, their answers are lost
)

func (n network) String() string {
	return [...]string{"works", "down", "answer lost", "receipt lost", "receipt's answer lost"}[n]
}

// over does something online, as well as the network is. Where it fails the
// person gives up at once: nobody waits for attempts that fail as well.
func (m *computer) over(n network, do func(ctx context.Context) error) (err error, cut bool) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	line := &line{state: n, giveUp: cancel}
	err = do(context.WithValue(ctx, lineKey{}, line))
	return err, line.cut
}

// line is the network during one operation.
type line struct {
	state  network
	giveUp func()
	cut    bool
}

type lineKey struct{}

var errCut = errors.New("the network is gone")

// carrier brings a machine's calls to the gateway.
type carrier struct{ m *computer }

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	l := r.Context().Value(lineKey{}).(*line)
	gone := func() (*http.Response, error) {
		l.cut = true
		l.giveUp()
		return nil, errCut
	}
	receipt := strings.HasSuffix(r.URL.Path, wire.PathReceipt)
	if l.state == down || l.state == receiptLost && receipt {
		return gone()
	}
	res, err := c.m.serve(r)
	if err != nil {
		return nil, err
	}
	if l.state == answerLost || l.state == receiptMute && receipt {
		return gone()
	}
	return res, nil
}

// serve has the gateway answer a call.
func (w *world) serve(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := httptest.NewRequestWithContext(w.ctx, r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	out := httptest.NewRecorder()
	w.gateway.ServeHTTP(out, in)
	res := out.Result()
	res.Request = r
	return res, nil
}

// post hands a file in at the vendor's.
func (w *world) post(path string, file []byte) (status int, answer []byte) {
	in := httptest.NewRequestWithContext(w.ctx, "POST", path, bytes.NewReader(file))
	in.Header.Set("Content-Type", wire.MediaFile)
	out := httptest.NewRecorder()
	w.gateway.ServeHTTP(out, in)
	return out.Code, out.Body.Bytes()
}

// list is what the machine says it holds.
func (m *computer) list() ([]agent.Container, error) {
	in, err := m.agent.List(m.ctx)
	return in.Containers, err
}

// keep copies the home folder.
func (m *computer) keep() error {
	dir := m.home + "-kept" + strconv.Itoa(len(m.kept))
	m.kept = append(m.kept, dir)
	return copyFolder(dir, m.home)
}

// rollBack puts a copy of the home folder back. Randomness does not come back
// with it.
func (m *computer) rollBack(i int) error {
	m.rolled = true
	if err := os.RemoveAll(m.home); err != nil {
		return err
	}
	return copyFolder(m.home, m.kept[i])
}

func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		there := to + strings.TrimPrefix(path, from)
		switch {
		case d.IsDir():
			return os.MkdirAll(there, 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(there, data, 0o600)
	})
}

// short names a file in a failure.
func short(file []byte) string {
	hash := sha256.Sum256(file)
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(hash[:])), 16)
}

// failing is what tests and runs of rapid have in common.
type failing interface {
	Helper()
	Fatal(args ...any)
}

func must(t failing, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
