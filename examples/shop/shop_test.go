package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"licet/client"
	"licet/internal/centralcmd"
	"licet/internal/cli"
	"licet/license"
	"licet/subscription"
)

const secret = "whsec_example"

var now = time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)

// server runs a real central with one product until the returned function stops it.
func server(t *testing.T, data, listen string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan string, 1), make(chan int, 1)
	var out, stderr bytes.Buffer
	env := func(serving func(string), in string) centralcmd.Env {
		return centralcmd.Env{
			Streams: cli.Streams{In: strings.NewReader(in), Out: &out, Err: &stderr, Getenv: func(string) string { return "" }},
			Now:     time.Now, Random: func(b []byte) { rand.Read(b) }, Serving: serving,
		}
	}
	go func() {
		ended <- centralcmd.Run(ctx, env(func(url string) { listening <- url }, ""), []string{"serve", "--data", data, "--listen", listen})
	}()
	select {
	case url = <-listening:
	case status := <-ended:
		t.Fatalf("serve: %d %s", status, stderr.String())
	}
	catalog := "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n"
	if status := centralcmd.Run(ctx, env(nil, catalog), []string{"apply", "-f", "-", "--data", data, "--url", url}); status != 0 {
		t.Fatal(stderr.String())
	}
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return url, stop
}

// mailbox is a real mail server that keeps what it takes.
type mailbox struct {
	mu   sync.Mutex
	all  []string
	full bool
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return session{m}, nil }

type session struct{ box *mailbox }

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if s.box.full {
		return &smtp.SMTPError{Code: 452, Message: "full"}
	}
	s.box.all = append(s.box.all, string(text))
	return err
}

func mailServer(t *testing.T) (*mailbox, string) {
	t.Helper()
	box := &mailbox{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(box)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return box, "smtp://" + l.Addr().String()
}

func message(id, items string) string {
	e := map[string]any{"type": "checkout.session.completed", "data": map[string]any{"object": map[string]any{
		"id": id, "payment_status": "paid", "customer_details": map[string]string{"name": "Ada Miller", "email": "ada@example.com"},
		"metadata": map[string]string{"licet_items": items}}}}
	text, _ := json.Marshal(e)
	return string(text)
}

// tell sends a message to the shop as signed at a time.
func tell(s *shop, body string, at time.Time, with string) int {
	mac := hmac.New(sha256.New, []byte(with))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v0=00,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

// TestShop: a payment becomes one order and a mail with its ticket, whatever is
// down, full, late or sent twice; and what the shop did not sign becomes nothing.
func TestShop(t *testing.T) {
	data := filepath.Join(t.TempDir(), "central")
	url, stop := server(t, data, "127.0.0.1:0")
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	box, address := mailServer(t)
	quick := client.Options{Sleep: func(context.Context, time.Duration) error { return nil }}
	s := &shop{secret: secret, central: client.NewCentral(url, strings.TrimSpace(string(token)), quick), page: url, now: func() time.Time { return now }}
	if s.mail, err = mailer(address, "shop@example.com"); err != nil {
		t.Fatal(err)
	}
	orders := func() int {
		list, err := s.central.Orders(t.Context(), client.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}

	for name, status := range map[string]int{
		"another secret": tell(s, message("cs_1", "CAD"), now, "whsec_other"),
		"an old message": tell(s, message("cs_1", "CAD"), now.Add(-tolerance-time.Second), secret),
		"a future one":   tell(s, message("cs_1", "CAD"), now.Add(tolerance+time.Second), secret),
	} {
		if status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
	if unpaid := strings.Replace(message("cs_1", "CAD"), `"paid"`, `"unpaid"`, 1); tell(s, unpaid, now, secret) != http.StatusOK {
		t.Error("an unpaid session is not taken note of")
	}
	if n := orders(); n != 0 || len(box.all) != 0 {
		t.Fatalf("%d orders, %d mails from nothing", n, len(box.all))
	}

	// No room for mail: the order stands, and the shop sends the message again.
	box.full = true
	if status := tell(s, message("cs_1", "CAD=2"), now, secret); status != http.StatusServiceUnavailable {
		t.Fatal(status)
	}
	box.full = false
	for range 2 {
		if status := tell(s, message("cs_1", "CAD=2"), now, secret); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	o, err := s.central.Order(t.Context(), "cs_1")
	if err != nil || len(o.Licenses) != 2 || orders() != 1 || o.Customer != "Ada Miller" {
		t.Fatalf("%+v %v", o, err)
	}
	if len(box.all) != 2 {
		t.Fatalf("%d mails", len(box.all))
	}
	for _, mail := range box.all {
		if !strings.Contains(mail, "Your ticket: "+string(o.Ticket)) || !strings.Contains(mail, "Message-ID: <licet-"+o.Order+"@example.com>") {
			t.Errorf("the mail: %s", mail)
		}
	}
	if _, err := license.ParseTicket(string(o.Ticket)); err != nil {
		t.Error(err)
	}

	// Central is down and comes back.
	stop()
	if status := tell(s, message("cs_2", "CAD"), now, secret); status != http.StatusServiceUnavailable {
		t.Fatal(status)
	}
	server(t, data, strings.TrimPrefix(url, "http://"))
	if status := tell(s, message("cs_2", "CAD"), now, secret); status != http.StatusOK || orders() != 2 {
		t.Fatal(status, orders())
	}
}

func about(kind string, object map[string]any) string {
	text, _ := json.Marshal(map[string]any{"type": kind, "data": map[string]any{"object": object}})
	return string(text)
}

// TestSubscriptions: a session begins a subscription, each paid invoice renews it once
// however often it is told, and its end in the shop cancels it.
func TestSubscriptions(t *testing.T) {
	data := filepath.Join(t.TempDir(), "central")
	url, _ := server(t, data, "127.0.0.1:0")
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	box, address := mailServer(t)
	s := &shop{secret: secret, central: client.NewCentral(url, strings.TrimSpace(string(token)), client.Options{Sleep: func(context.Context, time.Duration) error { return nil }}), page: url, now: func() time.Time { return now }}
	if s.mail, err = mailer(address, "shop@example.com"); err != nil {
		t.Fatal(err)
	}
	session := about("checkout.session.completed", map[string]any{"id": "cs_9", "payment_status": "paid", "subscription": "sub_9",
		"customer_details": map[string]string{"name": "Ada Miller", "email": "ada@example.com"}, "metadata": map[string]string{"licet_subscription": "CAD=3", "licet_period": "monthly"}})
	invoice := func(id, why string) string {
		return about("invoice.paid", map[string]any{"id": id, "subscription": "sub_9", "billing_reason": why})
	}
	is := func(lines int, state subscription.State) {
		t.Helper()
		sub, err := s.central.Subscription(t.Context(), "sub_9")
		if err != nil || len(sub.Lines) != lines || sub.State != state || sub.Quantity != 3 {
			t.Fatalf("%+v %v", sub, err)
		}
	}
	// An invoice that comes before its session is sent again later.
	if status := tell(s, invoice("in_2", "subscription_cycle"), now, secret); status != http.StatusServiceUnavailable {
		t.Fatal(status)
	}
	for _, step := range []struct {
		body  string
		lines int
		state subscription.State
	}{
		{session, 1, subscription.Active}, {session, 1, subscription.Active}, {invoice("in_1", "subscription_create"), 1, subscription.Active},
		{invoice("in_2", "subscription_cycle"), 2, subscription.Active}, {invoice("in_2", "subscription_cycle"), 2, subscription.Active},
		{invoice("in_3", "subscription_cycle"), 3, subscription.Active},
		{about("customer.subscription.deleted", map[string]any{"id": "sub_9"}), 3, subscription.Ending},
		{about("customer.subscription.deleted", map[string]any{"id": "sub_9"}), 3, subscription.Ending},
		{invoice("in_3", "subscription_cycle"), 3, subscription.Ending},
	} {
		if status := tell(s, step.body, now, secret); status != http.StatusOK {
			t.Fatalf("%s: %d", step.body, status)
		}
		is(step.lines, step.state)
	}
	if len(box.all) != 2 || !strings.Contains(box.all[0], "sub_9") {
		t.Errorf("%d mails", len(box.all))
	}
}
