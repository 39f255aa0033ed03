package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"licet/client"
	"licet/license"
	"licet/refusal"
	"licet/subscription"
	"licet/wire"
)

const (
	maxBody   = 256 << 10
	tolerance = 5 * time.Minute // between the shop's clock and ours; an older message may be a replayed one
)

// shop takes the shop's messages.
type shop struct {
	secret  string
	central *client.Central
	page    string // where tickets are used
	mail    func(ctx context.Context, to, subject, text, id string) error
	now     func() time.Time
}

// event is what is read of a message; there is more in it.
type event struct {
	Type string `json:"type"`
	Data struct {
		Object struct {
			ID            string `json:"id"`
			PaymentStatus string `json:"payment_status"`
			Subscription  string `json:"subscription"`   // of a session that begins one, and of an invoice
			BillingReason string `json:"billing_reason"` // of an invoice
			Customer      struct {
				Name  string `json:"name"`
				Email string `json:"email"`
			} `json:"customer_details"`
			Metadata map[string]string `json:"metadata"`
		} `json:"object"`
	} `json:"data"`
}

// ServeHTTP answers 200 once the buyer has his ticket, and 5xx for what the shop
// should send again: the order is made once, whatever comes twice.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "a message of the shop is wanted", http.StatusBadRequest)
		return
	}
	if err := s.signed(body, r.Header.Get("Stripe-Signature")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, "the message is no JSON", http.StatusBadRequest)
		return
	}
	do := s.meant(e)
	if do == nil {
		fmt.Fprintln(w, "nothing to do")
		return
	}
	if err := do(r.Context(), e); err != nil {
		log.Printf("%s %s: %v", e.Type, e.Data.Object.ID, err)
		http.Error(w, "not done; send it again", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "done")
}

// meant is what a message asks for; nil for nothing.
func (s *shop) meant(e event) func(context.Context, event) error {
	o := e.Data.Object
	switch {
	case e.Type == "checkout.session.completed" && o.PaymentStatus == "paid" && o.Subscription != "":
		return s.subscribe
	case e.Type == "checkout.session.completed" && o.PaymentStatus == "paid":
		return s.sell
	case e.Type == "invoice.paid" && o.BillingReason == "subscription_cycle": // the first one came with the session
		return s.renew
	case e.Type == "customer.subscription.deleted":
		return s.cancel
	}
	return nil
}

// subscribe begins a subscription whose periods the shop tells of, and mails its
// ticket. Its order has the number that the subscription has in the shop.
func (s *shop) subscribe(ctx context.Context, e event) error {
	o := e.Data.Object
	product, count, _ := strings.Cut(o.Metadata["licet_subscription"], "=")
	quantity := int64(1)
	if count != "" {
		var err error
		if quantity, err = strconv.ParseInt(count, 10, 64); err != nil {
			return fmt.Errorf("%q in licet_subscription: %w", count, err)
		}
	}
	done, err := s.central.CreateSubscription(ctx, wire.SubscriptionRequest{Number: o.Subscription, Customer: cmp.Or(o.Customer.Name, o.Customer.Email),
		Product: product, Quantity: quantity, Period: o.Metadata["licet_period"], Lead: subscription.Outside})
	if err != nil {
		return coded(err)
	}
	sub := done.Subscription
	return s.ticket(ctx, o.Customer.Email, sub.Number, sub.Order, sub.Ticket)
}

// renew tells that a period was paid. The invoice names the payment for good: told
// twice, or late, it adds nothing.
func (s *shop) renew(ctx context.Context, e event) error {
	_, err := s.central.RenewSubscription(ctx, e.Data.Object.Subscription, wire.SubscriptionRenewal{Reference: e.Data.Object.ID})
	return coded(err)
}

// cancel tells that no further period will be paid. Where that is known already, or the
// subscription is over, there is nothing to tell.
func (s *shop) cancel(ctx context.Context, e event) error {
	id := e.Data.Object.ID
	sub, err := s.central.Subscription(ctx, id)
	if err != nil || sub.State == subscription.Ending || sub.State == subscription.Lapsed || sub.State == subscription.Ended {
		return coded(err)
	}
	_, err = s.central.CancelSubscription(ctx, id, wire.SubscriptionCancellation{Reason: "canceled in the shop"})
	return coded(err)
}

// coded has the code of a refusal in its text, for the log.
func coded(err error) error {
	if r, ok := refusal.As(err); ok {
		return fmt.Errorf("%s: %w", r.Code, err)
	}
	return err
}

var errSignature = errors.New("the signature is not the shop's")

// signed checks a header such as t=1700000000,v1=HEX.
func (s *shop) signed(body []byte, header string) error {
	var at string
	var sums [][]byte
	for part := range strings.SplitSeq(header, ",") {
		switch key, value, _ := strings.Cut(strings.TrimSpace(part), "="); key {
		case "t":
			at = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil {
				sums = append(sums, sum)
			}
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || s.now().Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return errSignature
	}
	mac := hmac.New(sha256.New, []byte(s.secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	want := mac.Sum(nil)
	for _, sum := range sums {
		if hmac.Equal(sum, want) {
			return nil
		}
	}
	return errSignature
}

// sell makes the order and mails its ticket. The session's id is the order's
// number, and an order's number states totals: a message that comes twice makes no
// second order. The mail has an id of the order's, by which a second copy can be
// told.
func (s *shop) sell(ctx context.Context, e event) error {
	o := e.Data.Object
	req := wire.OrderRequest{Number: o.ID, Customer: cmp.Or(o.Customer.Name, o.Customer.Email)}
	for _, text := range strings.Fields(o.Metadata["licet_items"]) {
		code, terms, _ := strings.Cut(text, ",")
		product, count, _ := strings.Cut(code, "=")
		item := wire.OrderItem{Product: product, Quantity: 1}
		if count != "" {
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil {
				return fmt.Errorf("%q in licet_items: %w", text, err)
			}
			item.Quantity = n
		}
		if terms != "" {
			item.Override = strings.Split(terms, ",")
		}
		req.Items = append(req.Items, item)
	}
	order, err := s.central.CreateOrder(ctx, req)
	if err != nil {
		return coded(err)
	}
	return s.ticket(ctx, o.Customer.Email, order.Number, order.Order, order.Ticket)
}

// ticket mails a ticket to who bought it.
func (s *shop) ticket(ctx context.Context, to, number, order string, ticket license.Ticket) error {
	text := fmt.Sprintf("Thank you for your order %s.\n\nYour ticket: %s\n\nActivate at %s or with\n\n    licet activate %s\n", number, ticket, s.page, ticket)
	return s.mail(ctx, to, "Your licenses", text, "licet-"+order)
}

// mailer sends by the server at an address such as smtp://user:password@host:587.
func mailer(server, from string) (func(ctx context.Context, to, subject, text, id string) error, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return nil, fmt.Errorf("%s names no port", u.Redacted())
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(20 * time.Second), gomail.WithTLSPolicy(gomail.TLSMandatory)}
	if u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	c, err := gomail.NewClient(u.Hostname(), options...)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, to, subject, text, id string) error {
		msg := gomail.NewMsg()
		if err := errors.Join(msg.From(from), msg.To(to)); err != nil {
			return err
		}
		msg.Subject(subject)
		_, host, _ := strings.Cut(from, "@")
		msg.SetMessageIDWithValue(id + "@" + host)
		msg.SetBodyString(gomail.TypeTextPlain, text)
		return c.DialAndSendWithContext(ctx, msg)
	}, nil
}
