package courier_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/courier"
	"licet/internal/store"
	"licet/internal/webhook"
	"licet/refusal"
	"licet/wire"
)

// trap is an internal server that nobody may connect to.
type trap struct {
	net.Listener
	visits atomic.Int64
}

func newTrap(t testing.TB, address string) *trap {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("%s cannot be listened on here: %v", address, err)
	}
	tr := &trap{Listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tr.visits.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return tr
}

func (tr *trap) port() string {
	_, port, _ := net.SplitHostPort(tr.Addr().String())
	return port
}

// sqlite is a world on SQLite: what is tested here has nothing to do with the
// database.
func sqlite(t testing.TB) *world {
	t.Helper()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return newWorld(t, db)
}

// with is a courier that may send to these networks.
func (w *world) with(networks []string, trust *tls.Config) *courier.Courier {
	w.t.Helper()
	n, err := webhook.ParseNetworks(networks)
	must(w.t, err)
	return courier.New(courier.Config{Networks: n, Timeout: 2 * time.Second, TLS: trust}, w.Registry, slog.New(slog.DiscardHandler))
}

// try makes a webhook, has one message sent to it, and says what came of it.
func (w *world) try(c *courier.Courier, url string) wire.WebhookAttempt {
	w.t.Helper()
	h, err := w.CreateWebhook(ctx, w.admin, wire.WebhookRequest{URL: url, Events: []string{"order.created"}})
	must(w.t, err)
	d, err := w.TestWebhook(ctx, w.admin, h.ID)
	must(w.t, err)
	_, err = c.Once(ctx)
	must(w.t, err)
	d, err = w.WebhookDelivery(ctx, w.admin, h.ID, d.Event)
	must(w.t, err)
	if len(d.Tries) != 1 {
		w.t.Fatalf("%+v", d)
	}
	_, err = w.DeleteWebhook(ctx, w.admin, h.ID)
	must(w.t, err)
	return d.Tries[0]
}

// everywhere lets the registry take any URL, so that the courier alone stands guard.
func (w *world) everywhere() {
	n, err := webhook.ParseNetworks([]string{"0.0.0.0/0", "::/0"})
	must(w.t, err)
	w.AllowNetworks(n)
}

// TestInternalAddresses: no message goes to an address that is not the internet's,
// however it is written or found, and nothing connects there to find out.
func TestInternalAddresses(t *testing.T) {
	w := sqlite(t)
	four, six := newTrap(t, "127.0.0.1:0"), newTrap(t, "[::1]:0")
	names := map[string]string{"rebound.test": "127.0.0.1", "metadata.test": "169.254.169.254", "lan.test": "10.0.0.1"}
	answering(t, func(name string) string { return names[name] })
	none := w.with(nil, nil)
	urls := []string{
		"://127.0.0.1:" + four.port(), "://localhost:" + four.port(), "://localhost:" + six.port(), "://[::1]:" + six.port(), "://[::ffff:127.0.0.1]:" + four.port(),
		"://127.1:" + four.port(), "://2130706433:" + four.port(), "://0x7f000001:" + four.port(), "://0.0.0.0:" + four.port(), "://[::]:" + four.port(),
		"://169.254.169.254/latest/meta-data/", "://[fd00::1]/", "://[fd00:ec2::254]/", "://10.0.0.1/", "://192.168.0.1/", "://[fe80::1]/", "://[64:ff9b::7f00:1]/",
		"://rebound.test:" + four.port(), "://metadata.test/", "://lan.test/",
	}
	for _, scheme := range []string{"https", "http"} {
		for _, u := range urls {
			// Staff are told at once where the address itself says it.
			w.AllowNetworks(webhook.Networks{})
			_, err := w.CreateWebhook(ctx, w.admin, wire.WebhookRequest{URL: scheme + u})
			if err != nil && !refusal.Is(err, refusal.InvalidInput) {
				t.Errorf("%s%s: %v", scheme, u, err)
			}
			all, err := w.Webhooks(ctx, w.admin)
			must(t, err)
			for _, h := range all.Items {
				_, err := w.DeleteWebhook(ctx, w.admin, h.ID)
				must(t, err)
			}
			w.everywhere()
			got := w.try(none, scheme+u)
			literal := !strings.ContainsAny(strings.SplitN(u, ":", 3)[1], "ghijklmnopqrstuvwxyz") && !strings.HasPrefix(u, "://127.1:") && !strings.HasPrefix(u, "://2130706433") && !strings.HasPrefix(u, "://0x")
			if got.Status != 0 || got.Fault == "" || literal && !strings.Contains(got.Fault, "internal address") {
				t.Errorf("%s%s: %+v", scheme, u, got)
			}
		}
	}
	if got := w.try(none, "http://8.8.8.8/"); !strings.Contains(got.Fault, "by https alone") {
		t.Errorf("without TLS: %+v", got)
	}
	if n := four.visits.Load() + six.visits.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestNameThatTurns: a name that leads to an allowed address now and to another one
// then gets to the other one never.
func TestNameThatTurns(t *testing.T) {
	w := sqlite(t)
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }))
	t.Cleanup(good.Close)
	_, port, _ := net.SplitHostPort(good.Listener.Addr().String())
	bad := newTrap(t, "127.0.0.2:"+port)
	var n atomic.Int64
	answering(t, func(string) string {
		if n.Add(1)%2 == 0 {
			return "127.0.0.1"
		}
		return "127.0.0.2"
	})
	w.everywhere()
	c := w.with([]string{"127.0.0.1/32"}, nil)
	arrived := 0
	for range 12 {
		switch got := w.try(c, "http://turns.test:"+port); {
		case got.Status == 200:
			arrived++
		case !strings.Contains(got.Fault, "internal address"):
			t.Errorf("%+v", got)
		}
	}
	if arrived != 6 || bad.visits.Load() != 0 {
		t.Errorf("%d of 12 arrived, %d went elsewhere", arrived, bad.visits.Load())
	}
}

// TestRedirectsAreNotFollowed, wherever they lead.
func TestRedirectsAreNotFollowed(t *testing.T) {
	w := sqlite(t)
	w.everywhere()
	inside := newTrap(t, "127.0.0.1:0")
	c := w.with([]string{loopback}, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		from := httptest.NewServer(http.RedirectHandler("http://"+inside.Addr().String()+"/", status))
		if got := w.try(c, from.URL); got.Status != int64(status) || got.Fault != "" {
			t.Errorf("%d: %+v", status, got)
		}
		from.Close()
	}
	if inside.visits.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestTLS: a receiver by https is verified.
func TestTLS(t *testing.T) {
	w := sqlite(t)
	w.everywhere()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) }))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if got := w.try(w.with([]string{loopback}, nil), server.URL); got.Status != 0 || !strings.Contains(got.Fault, "certificate") {
		t.Errorf("a stranger: %+v", got)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	if got := w.try(w.with([]string{loopback}, &tls.Config{RootCAs: pool}), server.URL); got.Status != 202 {
		t.Errorf("known: %+v", got)
	}
}

// answering makes names of the domain test known to this process.
func answering(t testing.TB, address func(name string) string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	var working sync.WaitGroup
	working.Go(func() {
		for buffer := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := answerTo(buffer[:n], address); answer != nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	})
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(c context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(c, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = was; server.Close(); working.Wait() })
}

// answerTo answers a question for an address of IPv4, and knows nothing else.
func answerTo(question []byte, address func(name string) string) []byte {
	const header, typeA = 12, 1
	if len(question) < header {
		return nil
	}
	var labels []string
	at := header
	for at < len(question) && question[at] != 0 {
		end := at + 1 + int(question[at])
		if end > len(question) {
			return nil
		}
		labels, at = append(labels, string(question[at+1:end])), end
	}
	if at+5 > len(question) {
		return nil
	}
	asked := binary.BigEndian.Uint16(question[at+1:])
	answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[header:at+5]...)
	if asked != typeA {
		return answer
	}
	if ip := net.ParseIP(address(strings.Join(labels, "."))).To4(); ip != nil {
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, ip...)
	}
	return answer
}
