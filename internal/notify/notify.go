// Package notify tells people by e-mail what became of lost licenses, the user who
// reported the loss and the vendor's staff; and staff of webhooks that the server has
// stopped. It reads the audit log from
// where it was done the last time, so that a mail server that was down costs time
// and nothing else; after a crash at the wrong moment a message goes out twice.
package notify

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

const (
	consumer = "mail"
	// lease is how long one server has the mail to itself; sending what there is
	// takes less.
	lease = 5 * time.Minute
	// Languages without texts of their own get these.
	fallback = "en"
)

// Config says how mail is sent.
type Config struct {
	Server  string // smtp://[user:password@]host:port, or smtps:// for TLS from the start
	From    string // address of the sender
	Staff   string // address that is told what waits for a decision; empty for none
	Vendor  string
	Address string // where users reach the server
}

// Notifier sends what is owed.
type Notifier struct {
	cfg    Config
	reg    *registry.Registry
	log    *slog.Logger
	client *gomail.Client
	texts  map[string]*template.Template
}

//go:embed texts/*.tmpl
var texts embed.FS

// Languages lists the languages that messages are written in.
var Languages = []string{"en", "de"}

// New checks the configuration; it does not speak to the mail server yet.
func New(cfg Config, reg *registry.Registry, log *slog.Logger) (*Notifier, error) {
	n := &Notifier{cfg: cfg, reg: reg, log: log, texts: map[string]*template.Template{}}
	for _, address := range []string{cfg.From, cfg.Staff} {
		if address == "" && address != cfg.From {
			continue
		}
		if _, err := mail.ParseAddress(address); err != nil {
			return nil, refusal.New(refusal.InvalidInput, "%q is no e-mail address.", address).Hinted("Write it as licenses@example.com.")
		}
	}
	for _, language := range Languages {
		t, err := template.ParseFS(texts, "texts/"+language+".tmpl")
		if err != nil {
			return nil, err
		}
		n.texts[language] = t
	}
	var err error
	n.client, err = dialer(cfg.Server)
	return n, err
}

// dialer reads the address of a mail server.
func dialer(server string) (*gomail.Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, refusal.New(refusal.InvalidInput, "The mail server's address is none.").
			Hinted("Write it as smtp://user:password@mail.example.com:587, or smtps:// for TLS from the start.")
	}
	options := []gomail.Option{gomail.WithTimeout(30 * time.Second)}
	if p := u.Port(); p != "" {
		port, err := strconv.Atoi(p)
		if err != nil {
			return nil, refusal.New(refusal.InvalidInput, "%q is no port.", p)
		}
		options = append(options, gomail.WithPort(port))
	}
	switch {
	case u.Scheme == "smtps":
		options = append(options, gomail.WithSSL())
	case local(u.Hostname()):
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	return gomail.NewClient(u.Hostname(), options...)
}

// local reports whether mail stays on this machine, where TLS protects nothing.
func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Once sends what is owed now and returns how many messages went out. On an
// error the rest is sent the next time.
func (n *Notifier) Once(ctx context.Context) (sent int, err error) {
	notices, next, ok, err := n.reg.TakeNotices(ctx, consumer, lease)
	if err != nil || !ok {
		return 0, err
	}
	done := int64(0)
	defer func() {
		if end := n.reg.DoneNotices(context.WithoutCancel(ctx), consumer, done, true); err == nil {
			err = end
		}
	}()
	for _, notice := range notices {
		k, err := n.tell(ctx, notice)
		sent += k
		if err != nil {
			return sent, err
		}
		done = notice.Sequence + 1
		if err := n.reg.DoneNotices(ctx, consumer, done, false); err != nil {
			return sent, err
		}
	}
	done = next
	return sent, nil
}

// tell sends the messages of one notice.
func (n *Notifier) tell(ctx context.Context, notice registry.Notice) (sent int, err error) {
	about := fmt.Sprintf("recovery %d", notice.Recovery.Number)
	if notice.Webhook != "" {
		about = "webhook " + notice.Webhook
	}
	for _, m := range n.messages(notice) {
		err := n.send(ctx, m, notice)
		var failed *gomail.SendError
		switch {
		case err == nil:
			sent++
		case errors.As(err, &failed) && !failed.IsTemp() && refusedForGood(failed), errors.Is(err, errAddress):
			n.log.Warn("a message cannot be delivered", "about", about, "fault", err)
			if err := n.reg.NoticeFailed(ctx, notice, err.Error()); err != nil {
				return sent, err
			}
		default:
			return sent, fmt.Errorf("notify: %s: %w", about, err)
		}
	}
	return sent, nil
}

var errAddress = errors.New("notify: no e-mail address")

// refusedForGood reports whether the mail server will never take a message, as
// opposed to a server that cannot be reached or spoken to now.
func refusedForGood(e *gomail.SendError) bool {
	switch e.Reason {
	case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose, gomail.ErrGetRcpts:
		return true
	}
	return false
}

// message is one e-mail before its text is written.
type message struct {
	to, language, text string
}

func (n *Notifier) messages(notice registry.Notice) (list []message) {
	rec := notice.Recovery
	user := map[string]string{registry.NoticeReported: "reported", registry.NoticeGranted: "granted", registry.NoticeApproved: "approved",
		registry.NoticeRefused: "refused", registry.NoticeQuestion: "question"}
	staff := map[string]string{registry.NoticeReported: "staff", registry.NoticeAnswered: "answered",
		registry.NoticeExcess: "excess", registry.NoticeGone: "webhook", registry.NoticeDisabled: "webhook"}
	if text := user[notice.Kind]; text != "" && rec.Contact != "" {
		list = append(list, message{rec.Contact, rec.Language, text})
	}
	if text := staff[notice.Kind]; text != "" && n.cfg.Staff != "" {
		list = append(list, message{n.cfg.Staff, fallback, text})
	}
	return list
}

// facts are what the texts may tell.
type facts struct {
	Number                  uint64
	Count, Vendor, Customer string
	Reason, Said, Text      string
	Address, Webhook        string
	Licenses                []wire.RecoveryLicense
}

func (n *Notifier) send(ctx context.Context, m message, notice registry.Notice) error {
	subject, body, err := n.write(m, notice)
	if err != nil {
		return err
	}
	msg := gomail.NewMsg()
	if err := msg.FromFormat(n.cfg.Vendor, n.cfg.From); err != nil {
		return err
	}
	if err := msg.To(m.to); err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	msg.Subject(subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, body)
	return n.client.DialAndSendWithContext(ctx, msg)
}

// write makes subject and text of a message in its language. What people wrote
// is indented, so that it cannot pass for the server's own words.
func (n *Notifier) write(m message, notice registry.Notice) (subject, body string, err error) {
	rec := notice.Recovery
	t := n.texts[m.language]
	if t == nil {
		t = n.texts[fallback]
	}
	var count, all strings.Builder
	if err := t.ExecuteTemplate(&count, "count", len(rec.Licenses)); err != nil {
		return "", "", err
	}
	err = t.ExecuteTemplate(&all, m.text, facts{
		Number: rec.Number, Count: count.String(), Vendor: n.cfg.Vendor, Customer: rec.Customer, Reason: quoted(rec.Decision), Said: quoted(rec.Reason),
		Text: quoted(notice.Text), Address: strings.TrimRight(n.cfg.Address, "/"), Webhook: notice.Webhook, Licenses: rec.Licenses,
	})
	subject, body, _ = strings.Cut(strings.TrimSpace(all.String()), "\n")
	return subject, strings.TrimSpace(body) + "\n", err
}

// quoted is what somebody wrote, each line marked.
func quoted(text string) string {
	if text == "" {
		return ""
	}
	return "\n> " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ")
}

// Run sends what is owed until ctx ends: every so often, and less often while
// the mail server does not take anything.
func (n *Notifier) Run(ctx context.Context, every time.Duration) {
	wait := every
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		switch _, err := n.Once(ctx); {
		case err == nil:
			wait = every
		case ctx.Err() != nil:
			return
		default:
			wait = min(2*wait, slowest)
			n.log.Error("mail is not sent; it is tried again", "fault", err, "in", wait)
		}
	}
}

// slowest is the longest time between two tries.
const slowest = 15 * time.Minute
