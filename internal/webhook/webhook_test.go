package webhook_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"licet/internal/webhook"
	"licet/refusal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestVectors: signatures are those that the libraries of the specification expect.
func TestVectors(t *testing.T) {
	const id, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`
	at := time.Unix(1614265330, 0)
	for _, v := range []struct{ secret, public, signature string }{
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
			"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
			"v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="},
	} {
		k, err := webhook.ParseKey(v.secret)
		must(t, err)
		if got := k.Sign(id, at, []byte(body)); got != v.signature {
			t.Errorf("%s signs %s", v.secret, got)
		}
		if k.Secret() != v.secret || k.Public() != v.public {
			t.Errorf("%s is written as %s and %s", v.secret, k.Secret(), k.Public())
		}
	}
}

// TestReferenceVerifies: the reference library takes what is signed with a new key,
// also beside a signature of another key, and nothing that was altered.
func TestReferenceVerifies(t *testing.T) {
	k, err := webhook.NewKey(webhook.Symmetric, rand.Reader)
	must(t, err)
	other, err := webhook.NewKey(webhook.Asymmetric, rand.Reader)
	must(t, err)
	reference, err := standardwebhooks.NewWebhook(k.Secret())
	must(t, err)
	now, body := time.Now(), []byte(`{"type":"order.created"}`)
	header := http.Header{}
	header.Set(webhook.HeaderID, "evt_1")
	header.Set(webhook.HeaderTimestamp, webhook.Timestamp(now))
	header.Set(webhook.HeaderSignature, other.Sign("evt_1", now, body)+" "+k.Sign("evt_1", now, body))
	must(t, reference.Verify(body, header))
	for _, change := range []func(http.Header) []byte{
		func(http.Header) []byte { return []byte(`{"type":"order.canceled"}`) },
		func(h http.Header) []byte { h.Set(webhook.HeaderID, "evt_2"); return body },
		func(h http.Header) []byte {
			h.Set(webhook.HeaderTimestamp, webhook.Timestamp(now.Add(time.Second)))
			return body
		},
		func(h http.Header) []byte {
			h.Set(webhook.HeaderSignature, other.Sign("evt_1", now, body))
			return body
		},
	} {
		h := header.Clone()
		if err := reference.Verify(change(h), h); err == nil {
			t.Errorf("%v is taken", h)
		}
	}
	// The library has no v1a; the rule is the same.
	_, signature, _ := strings.Cut(other.Sign("evt_1", now, body), ",")
	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(other.Public(), "whpk_"))
	must(t, err)
	raw, err := base64.StdEncoding.DecodeString(signature)
	must(t, err)
	if !ed25519.Verify(public, []byte("evt_1."+webhook.Timestamp(now)+"."+string(body)), raw) {
		t.Error("the public key does not verify")
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k, err := webhook.NewKey(webhook.Symmetric, rand.Reader)
	must(t, err)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if got := fmt.Sprintf(format, k); got != "webhook key" {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestBadKeys(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(make([]byte, 65))
	for _, text := range []string{
		"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_" + long, "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS_",
		"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64)),
		"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	} {
		if _, err := webhook.ParseKey(text); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q: %v", text, err)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats %q", text)
		}
	}
	if _, err := webhook.NewKey("v2", rand.Reader); !refusal.Is(err, refusal.InvalidInput) {
		t.Error(err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
	f.Add("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := webhook.ParseKey(text); err == nil && k.Secret() != text {
			t.Errorf("%q is read as %q", text, k.Secret())
		}
	})
}

var types = []string{"order.created", "order.extended", "license.activated", "license.returned", "container.blocked"}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     []string
	}{
		{nil, types},
		{[]string{"*"}, types},
		{[]string{"order.*"}, types[:2]},
		{[]string{"*.created", "container.blocked"}, []string{"order.created", "container.blocked"}},
		{[]string{"*ed", "order.created"}, types},
		{[]string{"l*.*ed"}, types[2:4]},
		{[]string{"order.created"}, types[:1]},
	} {
		f, err := webhook.ParseFilter(c.patterns, types)
		must(t, err)
		var got []string
		for _, one := range types {
			if f.Wants(one) {
				got = append(got, one)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q wants %q", c.patterns, got)
		}
	}
	for _, bad := range []string{"", "order", "order.", "invoice.*", "ORDER.created", "order.created ", "order.create?", "[o]rder.created"} {
		if _, err := webhook.ParseFilter([]string{"*", bad}, types); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := webhook.ParseFilter(slices.Repeat([]string{"*"}, webhook.MaxPatterns+1), types); err == nil {
		t.Error("any number of patterns is taken")
	}
}

// FuzzFilter holds matching against the regular expression that a pattern means.
func FuzzFilter(f *testing.F) {
	f.Add("license.*", "license.returned")
	f.Add("*a*b*", "aabb")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 {
			return
		}
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		want, err := regexp.Compile(`(?s)\A` + strings.Join(parts, `.*`) + `\z`)
		if err != nil {
			return // no text that a regular expression can hold
		}
		if got := (webhook.Filter{pattern}).Wants(text); got != want.MatchString(text) {
			t.Errorf("%q matches %q: %t", pattern, text, got)
		}
	})
}

// TestLine: whatever the deliveries are about, those that may go share nothing with
// one another and nothing with any that is before them, and the first one may go.
func TestLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		things := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.ID[string])
		all := rapid.SliceOf(things).Draw(t, "about")
		var line webhook.Line
		for i, about := range all {
			want := true
			for _, before := range all[:i] {
				for _, a := range about {
					want = want && !slices.Contains(before, a)
				}
			}
			if got := line.Free(about); got != want {
				t.Fatalf("number %d of %q is free: %t", i, all, got)
			}
		}
	})
}

func TestDelays(t *testing.T) {
	want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}
	total := time.Duration(0)
	for n := int64(1); n <= 60; n++ {
		low, middle, high := webhook.Delay(n, 0), webhook.Delay(n, 0.5), webhook.Delay(n, 0.9999)
		if n <= int64(len(want)) && middle != want[n-1] || middle > 12*time.Hour {
			t.Errorf("after %d: %v", n, middle)
		}
		if low != middle*4/5 || high <= middle || high > middle*6/5 {
			t.Errorf("after %d: from %v to %v", n, low, high)
		}
		if total += middle; n == 20 && (total < 3*24*time.Hour || total > 6*24*time.Hour) {
			t.Errorf("20 tries take %v", total)
		}
	}
	if webhook.Hold(2, 0) != 0 || webhook.Hold(3, 0.5) != 5*time.Second || webhook.Hold(99, 0.5) != 15*time.Minute {
		t.Error(webhook.Hold(2, 0), webhook.Hold(3, 0.5), webhook.Hold(99, 0.5))
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "90": 90 * time.Second, "-5": 0, "1e9": 0, "soon": 0, "90 ": 0, "2147483647": 24 * time.Hour, "99999999999999999999": 0,
		now.Add(time.Hour).Format(http.TimeFormat): time.Hour, now.Add(-time.Hour).Format(http.TimeFormat): 0,
		now.AddDate(900, 0, 0).Format(http.TimeFormat): 24 * time.Hour,
	} {
		for _, status := range []int{429, 503} {
			if got := webhook.RetryAfter(status, header, now); got != want {
				t.Errorf("%d, %q: %v", status, header, got)
			}
		}
		if got := webhook.RetryAfter(500, header, now); got != 0 {
			t.Errorf("500, %q: %v", header, got)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 01 Mar 2026 13:00:00 GMT")
	f.Fuzz(func(t *testing.T, header string) {
		if got := webhook.RetryAfter(503, header, time.Unix(1772366400, 0)); got < 0 || got > 24*time.Hour {
			t.Errorf("%q: %v", header, got)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for status, want := range map[int]webhook.Outcome{0: webhook.Failed, 100: webhook.Failed, 199: webhook.Failed, 200: webhook.Delivered, 204: webhook.Delivered, 299: webhook.Delivered,
		300: webhook.Failed, 302: webhook.Failed, 400: webhook.Failed, 404: webhook.Failed, 410: webhook.Gone, 429: webhook.Failed, 500: webhook.Failed} {
		if got := webhook.OutcomeOf(status); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func networks(t testing.TB, list ...string) webhook.Networks {
	t.Helper()
	n, err := webhook.ParseNetworks(list)
	must(t, err)
	return n
}

var inside = []string{
	"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
	"192.0.0.8", "192.0.2.1", "198.18.0.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
	"fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
	"2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::", "3fff::1", "4000::1",
}

var outside = []string{"8.8.8.8", "1.1.1.1", "100.63.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"}

func TestAddresses(t *testing.T) {
	none := networks(t)
	for _, text := range inside {
		a := netip.MustParseAddr(text)
		if none.Check(a, false) == nil || none.Check(a, true) == nil {
			t.Errorf("%s is allowed", text)
		}
	}
	for _, text := range outside {
		a := netip.MustParseAddr(text)
		if err := none.Check(a, false); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if none.Check(a, true) == nil {
			t.Errorf("%s is allowed without TLS", text)
		}
	}
	some := networks(t, "10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "::ffff:192.168.7.0/120")
	for text, want := range map[string]bool{"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false, "fd12::1": true, "fd12::1%eth0": false,
		"::1": false, "192.168.7.9": true, "192.168.8.9": false, "169.254.169.254": false} {
		for _, plain := range []bool{false, true} {
			if got := some.Check(netip.MustParseAddr(text), plain) == nil; got != want {
				t.Errorf("%s: %t", text, got)
			}
		}
	}
	for _, bad := range []string{"", "10.0.0.1", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "localhost", "::ffff:0:0/80"} {
		if _, err := webhook.ParseNetworks([]string{bad}); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestURLs(t *testing.T) {
	none, some := networks(t), networks(t, "127.0.0.0/8")
	for _, good := range []string{"https://shop.example.com/licet?x=1", "https://8.8.8.8:8443/", "https://[2606:4700::1111]/", "https://SHOP.example.com"} {
		if _, err := none.CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "shop.example.com", "//shop.example.com/", "/licet", "https:///licet", "https:shop", "ftp://shop.example.com/", "file:///etc/passwd", "gopher://x/",
		"http://shop.example.com/", "https://user@shop.example.com/", "https://user:secret@shop.example.com/", "https://shop.example.com/#x", "https://shop.example.com/#",
		"https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest", "https://10.0.0.1:8443/", "https://shop.example.com:port/",
		"https://shop.example.com/\n", "https://" + strings.Repeat("x", 2000) + "/"} {
		if _, err := none.CheckURL(bad); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%s: %v", bad, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
	for url, want := range map[string]bool{"http://127.0.0.1:80/": true, "https://127.0.0.1/": true, "http://shop.internal/": true, "http://8.8.8.8/": false, "http://10.0.0.1/": false} {
		if _, err := some.CheckURL(url); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("https://shop.example.com/licet")
	f.Add("https://[::ffff:7f00:1]:1/")
	f.Fuzz(func(t *testing.T, text string) {
		n := webhook.Networks{}
		host, err := n.CheckURL(text)
		if err != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, text, bytes.NewReader(nil))
		if err != nil || host == "" || req.URL.Scheme != "https" || req.URL.User != nil {
			t.Errorf("%q is allowed: %v", text, err)
		}
		if a, err := netip.ParseAddr(req.URL.Hostname()); err == nil && n.Check(a, false) != nil {
			t.Errorf("%q is allowed", text)
		}
	})
}
