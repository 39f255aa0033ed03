package notify_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/mail"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"licet/container"
	"licet/internal/notify"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

// mailbox is a mail server that keeps what it takes.
type mailbox struct {
	lock  sync.Mutex
	mails []string
	fail  error // for every recipient
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{m}, nil }

type session struct{ m *mailbox }

func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	s.m.lock.Lock()
	defer s.m.lock.Unlock()
	return s.m.fail
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.m.lock.Lock()
	defer s.m.lock.Unlock()
	s.m.mails = append(s.m.mails, string(b))
	return err
}

func (m *mailbox) take(t *testing.T) (all []string) {
	t.Helper()
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, text := range m.mails {
		msg, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(msg.Body)
		all = append(all, msg.Header.Get("To")+" | "+subject+"\n"+string(body))
	}
	m.mails = nil
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a registry with one license that staff decide about, in a container.
type world struct {
	*registry.Registry
	*notify.Notifier
	box    *mailbox
	server *smtp.Server
	admin  registry.Actor
	ticket license.Ticket
	trust  []byte
	now    time.Time
}

func (w *world) listen(t *testing.T, address string) string {
	l, err := net.Listen("tcp", address)
	must(t, err)
	w.server = smtp.NewServer(w.box)
	w.server.Domain = "localhost"
	go func(s *smtp.Server) { _ = s.Serve(l) }(w.server) // ends with Close
	t.Cleanup(func() { _ = w.server.Close() })
	return l.Addr().String()
}

func newWorld(t *testing.T) *world {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cfg := registry.Config{DB: db, Secret: make([]byte, 32), Now: func() time.Time { return now },
		Random: func(p []byte) { _, _ = rand.Read(p) }, Log: slog.New(slog.DiscardHandler)}
	res, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Acme", Address: "https://licenses.example"})
	must(t, err)
	w := &world{box: &mailbox{}}
	w.Registry, err = registry.Open(t.Context(), cfg)
	must(t, err)
	w.admin, err = w.Authenticate(t.Context(), res.AdminToken)
	must(t, err)
	_, err = w.ApplyCatalog(t.Context(), w.admin, wire.CatalogRequest{YAML: "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"})
	must(t, err)
	o, err := w.CreateOrder(t.Context(), w.admin, wire.OrderRequest{Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD"}}}, registry.Once{})
	must(t, err)
	w.ticket = o.Ticket
	w.trust, w.now = res.Trust, now
	w.activate(t, res.Trust, now)
	address := w.listen(t, "127.0.0.1:0")
	w.Notifier, err = notify.New(notify.Config{Server: "smtp://" + address, From: "licenses@example.com", Staff: "staff@example.com",
		Vendor: "Acme", Address: w.Address()}, w.Registry, slog.New(slog.DiscardHandler))
	must(t, err)
	w.once(t, 0) // it begins here
	return w
}

func (w *world) activate(t *testing.T, trust []byte, now time.Time) {
	parsed, err := seal.ParseTrust(trust)
	must(t, err)
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(t, err)
	_, report := container.NewState(keys.Serial()).Report(keys.Identity(license.Machine), container.Nonce{1}, license.At(now))
	report.Wishes.Tickets = []license.Ticket{w.ticket}
	file, err := seal.SealReport(parsed, keys, report)
	must(t, err)
	_, err = w.Program(t.Context(), file)
	must(t, err)
}

func (w *world) once(t *testing.T, want int) {
	t.Helper()
	_, err := w.Sequence(t.Context())
	must(t, err)
	if sent, err := w.Once(t.Context()); err != nil || sent != want {
		t.Fatalf("%d messages, %v; want %d", sent, err, want)
	}
}

func (w *world) lose(t *testing.T, language string) uint64 {
	t.Helper()
	got, err := w.RequestRestore(t.Context(), wire.RestoreRequest{Tickets: []string{string(w.ticket)}, Reason: "stolen\nfrom a car", Contact: "user@example.com", Language: language})
	must(t, err)
	return got.Recovery
}

func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// TestRecoveryByMail: the user and staff read each step, in the user's language.
func TestRecoveryByMail(t *testing.T) {
	w := newWorld(t)
	n := w.lose(t, "de")
	w.once(t, 2)
	got := w.box.take(t)
	has(t, got[0], "<user@example.com>", "Verlorene Lizenzen: Meldung 1 ist eingegangen", "https://licenses.example")
	has(t, got[1], "<staff@example.com>", "Recovery 1 waits", "> stolen\r\n> from a car", "/console/recoveries/1")
	w.once(t, 0)
	_, err := w.AskRecovery(t.Context(), w.admin, n, "Which machine?")
	must(t, err)
	w.once(t, 1)
	has(t, w.box.take(t)[0], "Rückfrage", "> Which machine?")
	_, err = w.AnswerRecovery(t.Context(), w.ticket, n, "The blue one.")
	must(t, err)
	w.once(t, 1)
	has(t, w.box.take(t)[0], "<staff@example.com>", "> The blue one.")
	_, err = w.ApproveRecovery(t.Context(), w.admin, n, wire.Approval{Reason: "Good luck."})
	must(t, err)
	w.once(t, 1)
	has(t, w.box.take(t)[0], "bewilligt", "> Good luck.")
}

// TestMailServerDown: nothing is lost while it is down, and nothing sent twice.
func TestMailServerDown(t *testing.T) {
	w := newWorld(t)
	must(t, w.server.Close())
	w.lose(t, "en")
	_, err := w.Sequence(t.Context())
	must(t, err)
	if sent, err := w.Once(t.Context()); err == nil || sent != 0 {
		t.Fatalf("%d messages, %v", sent, err)
	}
	w.box.fail = &smtp.SMTPError{Code: 451, Message: "later"}
	w2, err := notify.New(notify.Config{Server: "smtp://" + w.listen(t, "127.0.0.1:0"), From: "licenses@example.com", Vendor: "Acme", Address: w.Address()},
		w.Registry, slog.New(slog.DiscardHandler))
	must(t, err)
	if sent, err := w2.Once(t.Context()); err == nil || sent != 0 {
		t.Fatalf("refused for now: %d messages, %v", sent, err)
	}
	w.box.fail = nil
	if sent, err := w2.Once(t.Context()); err != nil || sent != 1 {
		t.Fatalf("%d messages, %v", sent, err)
	}
	if sent, err := w2.Once(t.Context()); err != nil || sent != 0 {
		t.Fatalf("again: %d messages, %v", sent, err)
	}
}

// TestRefusedForGood: one address that does not exist holds nobody up, and staff
// see it in the history.
func TestRefusedForGood(t *testing.T) {
	w := newWorld(t)
	w.box.fail = &smtp.SMTPError{Code: 550, Message: "no such user"}
	n := w.lose(t, "en")
	w.once(t, 0)
	w.box.fail = nil
	_, err := w.RefuseRecovery(t.Context(), w.admin, n, "Not yours.")
	must(t, err)
	w.once(t, 1)
	has(t, w.box.take(t)[0], "is refused", "> Not yours.")
	trail, err := w.Audit(t.Context(), w.admin, "", 100)
	must(t, err)
	failed := 0
	for _, e := range trail.Items {
		if e.Event == "mail_undeliverable" {
			failed++
		}
	}
	if failed != 2 { // to the user and to staff
		t.Fatalf("%d failures are in the trail", failed)
	}
}

// TestTwoServers: of two that send at once, one does.
func TestTwoServers(t *testing.T) {
	w := newWorld(t)
	w.lose(t, "en")
	_, err := w.Sequence(t.Context())
	must(t, err)
	var wg sync.WaitGroup
	var lock sync.Mutex
	total := 0
	for range 8 {
		wg.Go(func() {
			sent, err := w.Once(context.Background())
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				t.Error(err)
			}
			total += sent
		})
	}
	wg.Wait()
	if total != 2 || len(w.box.take(t)) != 2 {
		t.Fatalf("%d messages", total)
	}
}

// TestExcessByMail: staff are told of who restores more than is usual.
func TestExcessByMail(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		n := w.lose(t, "en")
		_, err := w.ApproveRecovery(t.Context(), w.admin, n, wire.Approval{Reason: "ok"})
		must(t, err)
		w.activate(t, w.trust, w.now)
	}
	_, err := w.Sequence(t.Context())
	must(t, err)
	if _, err := w.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, text := range w.box.take(t) {
		if strings.Contains(text, "Many lost licenses") {
			told++
			has(t, text, "<staff@example.com>", "> The ", "recovery 4 of Buyer")
		}
	}
	if told != 2 { // one for the customer, one for the member of staff
		t.Fatalf("told %d times", told)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []notify.Config{
		{Server: "mail.example.com:25", From: "a@example.com"}, {Server: "http://mail.example.com", From: "a@example.com"},
		{Server: "smtp://mail.example.com:x", From: "a@example.com"}, {Server: "smtp://mail.example.com", From: "nobody"},
		{Server: "smtp://mail.example.com", From: ""}, {Server: "smtp://mail.example.com", From: "a@example.com", Staff: "b"},
	} {
		if _, err := notify.New(c, nil, nil); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, server := range []string{"smtp://mail.example.com", "smtps://u:p@mail.example.com:465"} {
		if _, err := notify.New(notify.Config{Server: server, From: "a@example.com"}, nil, nil); err != nil {
			t.Errorf("%s: %v", server, err)
		}
	}
}

// TestStoppedWebhookByMail: staff are told once of a webhook that the server has
// stopped.
func TestStoppedWebhookByMail(t *testing.T) {
	w := newWorld(t)
	h, err := w.CreateWebhook(t.Context(), w.admin, wire.WebhookRequest{URL: "https://shop.example/hooks?key=secret"})
	must(t, err)
	_, err = w.CreateOrder(t.Context(), w.admin, wire.OrderRequest{Customer: "Buyer", Items: []wire.OrderItem{{Product: "CAD"}}}, registry.Once{})
	must(t, err)
	w.once(t, 0)
	round, _, err := w.TakeRound(t.Context(), h.ID, "one")
	must(t, err)
	must(t, w.RecordRound(t.Context(), round, []registry.Result{{ID: round.Messages[0].ID, Status: 410}}))
	w.once(t, 1)
	got := w.box.take(t)[0]
	has(t, got, "<staff@example.com>", "A webhook is stopped", "> The webhook to shop.example was paused", "/console/webhooks/"+h.ID, "licet-central webhook update "+h.ID)
	if strings.Contains(got, "secret") {
		t.Error(got)
	}
	w.once(t, 0)
}
