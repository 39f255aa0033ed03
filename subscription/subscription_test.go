package subscription_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licet/license"
	"licet/refusal"
	"licet/subscription"
)

func at(text string) license.Time {
	t, err := license.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

// TestAfter: ends are counted from the anchor, so that no short month shortens those
// that follow it; the time of the day stays, also where clocks elsewhere are changed.
func TestAfter(t *testing.T) {
	tests := []struct {
		period, anchor string
		ends           []string
	}{
		{"monthly", "2027-01-15", []string{"2027-02-15", "2027-03-15", "2027-04-15"}},
		{"monthly", "2027-01-31", []string{"2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"}},
		{"monthly", "2028-01-30", []string{"2028-02-29", "2028-03-30"}},
		{"monthly", "2028-02-29", []string{"2028-03-29", "2028-04-29"}},
		{"monthly", "2027-11-30", []string{"2027-12-30", "2028-01-30", "2028-02-29", "2028-03-30"}},
		{"monthly", "2027-12-31T23:59:59Z", []string{"2028-01-31T23:59:59Z", "2028-02-29T23:59:59Z"}},
		{"monthly", "2027-02-28T01:30:00Z", []string{"2027-03-28T01:30:00Z", "2027-04-28T01:30:00Z"}}, // summer time begins in Europe at that hour
		{"yearly", "2028-02-29", []string{"2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"}},
		{"yearly", "2027-06-30T12:00:00Z", []string{"2028-06-30T12:00:00Z", "2029-06-30T12:00:00Z"}},
		{"30d", "2027-01-31", []string{"2027-03-02", "2027-04-01"}},
		{"1d", "2028-02-28", []string{"2028-02-29", "2028-03-01"}},
		{"7d", "2027-03-26T00:30:00Z", []string{"2027-04-02T00:30:00Z"}},
	}
	for _, tt := range tests {
		p, err := subscription.ParsePeriod(tt.period)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.ends {
			if got := p.After(at(tt.anchor), int64(i+1)); got != at(want) {
				t.Errorf("%s from %s, period %d ends %s, want %s", tt.period, tt.anchor, i+1, got, want)
			}
		}
		if p.After(at(tt.anchor), 0) != at(tt.anchor) {
			t.Errorf("%s from %s does not begin there", tt.period, tt.anchor)
		}
	}
}

func TestParsePeriod(t *testing.T) {
	for _, text := range []string{"monthly", "yearly", "1d", "30d", "3660d"} {
		p, err := subscription.ParsePeriod(text)
		written, _ := json.Marshal(p)
		var back subscription.Period
		if err != nil || p.String() != text || json.Unmarshal(written, &back) != nil || back != p {
			t.Errorf("%s: %v, %v, %s", text, p, err, written)
		}
	}
	for _, text := range []string{"", "0d", "-1d", "03d", "+3d", "3661d", "12h", "d", "weekly", "30", "30d ", "1m"} {
		if p, err := subscription.ParsePeriod(text); !refusal.Is(err, refusal.InvalidInput) {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

func sample(lead subscription.Lead) subscription.Subscription {
	s := subscription.Subscription{Lead: lead, Period: subscription.Monthly, Grace: 7 * license.Day}
	if lead == subscription.Licet {
		s.Notice = license.Day
	}
	s, _ = s.Begin(at("2027-01-31"))
	return s
}

// TestStates is the life of a subscription by date.
func TestStates(t *testing.T) {
	outside, canceled := sample(subscription.Outside), sample(subscription.Outside).Cancel(at("2027-02-10"))
	ended := sample(subscription.Outside).End(at("2027-02-10"))
	waits := sample(subscription.Outside).ChangeAtEnd()
	waits, _, err := waits.Renew(at("2027-02-20"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		s      subscription.Subscription
		now    string
		state  subscription.State
		usable string
		due    string
		what   subscription.Event
	}{
		{"runs", outside, "2027-02-27T23:59:59Z", subscription.Active, "2027-03-07", "2027-02-28", subscription.Grace},
		{"its end is no longer in it", outside, "2027-02-28", subscription.InGrace, "2027-03-07", "2027-02-28", subscription.Grace},
		{"the last of the grace", outside, "2027-03-06T23:59:59Z", subscription.InGrace, "2027-03-07", "2027-02-28", subscription.Grace},
		{"over", outside, "2027-03-07", subscription.Lapsed, "2027-03-07", "2027-02-28", subscription.Grace},
		{"canceled", canceled, "2027-02-27", subscription.Ending, "2027-02-28", "2027-02-28", subscription.Lapse},
		{"canceled, and over without grace", canceled, "2027-02-28", subscription.Lapsed, "2027-02-28", "2027-02-28", subscription.Lapse},
		{"ended at once", ended, "2027-02-11", subscription.Ended, "2027-03-07", "", subscription.Nothing},
		{"renews by itself", sample(subscription.Licet), "2027-02-01", subscription.Active, "2027-03-07", "2027-02-27", subscription.Renewal},
		{"renewed while a change waits: given out until that", waits, "2027-02-21", subscription.Active, "2027-03-07", "2027-02-28", subscription.Change},
	}
	for _, tt := range tests {
		state, usable := tt.s.State(at(tt.now)), tt.s.Usable()
		due, what := tt.s.Due()
		if state != tt.state || usable != at(tt.usable) || what != tt.what || tt.due != "" && due != at(tt.due) || tt.due == "" && due != 0 {
			t.Errorf("%s: %s until %s, %q due at %s", tt.name, state, usable, what, due)
		}
	}
	if waits.Ends != at("2027-03-31") {
		t.Errorf("renewed until %s", waits.Ends)
	}
}

func TestResume(t *testing.T) {
	s := sample(subscription.Outside).Cancel(at("2027-02-10"))
	back, span, err := s.Resume(at("2027-02-11"))
	if err != nil || span != (subscription.Span{}) || back != sample(subscription.Outside) {
		t.Errorf("a cancellation taken back: %+v, %+v, %v", back, span, err)
	}
	// After a lapse there is a new period, from now on.
	lapsed, _, what := s.Elapse(at("2027-02-28"))
	if what != subscription.Lapse {
		t.Fatal(what)
	}
	anew, span, err := lapsed.Resume(at("2027-05-31"))
	if err != nil || span != (subscription.Span{Starts: at("2027-05-31"), Ends: at("2027-06-30")}) || anew.State(at("2027-06-01")) != subscription.Active {
		t.Errorf("resumed: %+v, %+v, %v", anew, span, err)
	}
	// In grace the next period follows the last one.
	late, _, _ := sample(subscription.Outside).Elapse(at("2027-03-01"))
	_, span, err = late.Resume(at("2027-03-02"))
	if err != nil || span != (subscription.Span{Starts: at("2027-02-28"), Ends: at("2027-03-31")}) {
		t.Errorf("in grace: %+v, %v", span, err)
	}
	// What was ended at once does not come back.
	if _, _, err := s.End(at("2027-02-12")).Resume(at("2027-02-13")); !refusal.Is(err, refusal.SubscriptionEnded) {
		t.Error(err)
	}
	if _, _, err := s.End(at("2027-02-12")).Renew(at("2027-02-13")); !refusal.Is(err, refusal.SubscriptionEnded) {
		t.Error(err)
	}
	if same, _, err := anew.Resume(at("2027-06-01")); err != nil || same != anew {
		t.Errorf("what runs: %+v, %v", same, err)
	}
}

func TestCheck(t *testing.T) {
	good := sample(subscription.Licet)
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*subscription.Subscription){
		"nobody leads":                   func(s *subscription.Subscription) { s.Lead = "both" },
		"no period":                      func(s *subscription.Subscription) { s.Period = subscription.Period{} },
		"as long a notice as the period": func(s *subscription.Subscription) { s.Notice = 28 * license.Day },
		"and of days":                    func(s *subscription.Subscription) { s.Period, s.Notice = subscription.Period{Days: 1}, license.Day },
		"and of years":                   func(s *subscription.Subscription) { s.Period, s.Notice = subscription.Yearly, 365*license.Day },
		"too long a grace":               func(s *subscription.Subscription) { s.Grace = 367 * license.Day },
	} {
		s := good
		if change(&s); !refusal.Is(s.Check(), refusal.InvalidInput) {
			t.Errorf("%s: %v", name, s.Check())
		}
	}
}

// TestAnyLife: whatever happens to a subscription, in whatever order and however late
// the server looks, no period is lost or counted twice, and its end goes back by no
// decision at all.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := subscription.Subscription{
			Lead:   rapid.SampledFrom(subscription.Leads).Draw(t, "lead"),
			Period: rapid.SampledFrom([]subscription.Period{subscription.Monthly, subscription.Yearly, {Days: 1}, {Days: 30}}).Draw(t, "period"),
			Grace:  license.Duration(rapid.Int64Range(0, 60).Draw(t, "grace")) * license.Day,
		}
		if s.Lead == subscription.Licet && s.Period.Days != 1 {
			s.Notice = license.Duration(rapid.Int64Range(0, 20).Draw(t, "notice")) * license.Day
		}
		now := at("2027-01-01") + license.Time(rapid.Int64Range(0, 400*86_400).Draw(t, "start"))*1_000_000
		s, first := s.Begin(now)
		spans := []subscription.Span{first}
		lapsed := false // since the last period
		take := func(span subscription.Span, next subscription.Subscription) {
			if span == (subscription.Span{}) {
				return
			}
			last := spans[len(spans)-1]
			switch {
			case span.Ends <= span.Starts || span.Ends != next.Ends:
				t.Fatalf("a period from %s to %s, and the subscription ends %s", span.Starts, span.Ends, next.Ends)
			case !lapsed && span.Starts != last.Ends:
				t.Fatalf("a period from %s on after one to %s", span.Starts, last.Ends)
			case lapsed && (span.Starts != now || span.Starts < last.Ends):
				t.Fatalf("resumed at %s with a period from %s on after one to %s", now, span.Starts, last.Ends)
			}
			spans, lapsed = append(spans, span), false
		}
		step := func(next subscription.Subscription, span subscription.Span) {
			if next.Ends < s.Ends {
				t.Fatalf("the end went back from %s to %s", s.Ends, next.Ends)
			}
			take(span, next)
			s = next
		}
		settle := func() {
			for range 2000 {
				due, _ := s.Due()
				next, span, what := s.Elapse(now)
				if what == subscription.Nothing {
					if due != 0 && due <= now {
						t.Fatalf("due at %s, and nothing happens at %s", due, now)
					}
					return
				}
				lapsed = lapsed || what == subscription.Lapse
				step(next, span)
			}
			t.Fatal("it never ends")
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(1, 100*24).Draw(t, "hours")) * time.Hour)
			settle()
			if told, is := s.Told, s.State(now); told != is {
				t.Fatalf("told %s, and it is %s", told, is)
			}
			ends, grace := s.Terms()
			if usable := ends.Add(grace.Go()); usable > s.Ends.Add(s.Grace.Go()) || s.Canceled != 0 && usable != s.Ends {
				t.Fatalf("usable until %s", usable)
			}
			switch rapid.SampledFrom([]string{"renew", "cancel", "resume", "change", "period", "wait", "lead"}).Draw(t, "what") {
			case "renew":
				next, span, err := s.Renew(now)
				if err != nil {
					continue
				}
				if span == (subscription.Span{}) {
					t.Fatal("a paid period was lost")
				}
				step(next, span)
			case "cancel":
				next := s.Cancel(now)
				if twice := next.Cancel(now + 1); twice != next {
					t.Fatalf("canceled twice: %+v, %+v", next, twice)
				}
				lapsed = lapsed || next.Told == subscription.Lapsed && s.Told != subscription.Lapsed
				step(next, subscription.Span{})
			case "resume":
				next, span, err := s.Resume(now)
				if err != nil {
					t.Fatal(err)
				}
				step(next, span)
				if again, span, err := s.Resume(now); s.State(now) == subscription.Active && (again != s || span != (subscription.Span{}) || err != nil) {
					t.Fatalf("resumed twice: %+v, %+v, %v", again, span, err)
				}
			case "change":
				if s.State(now) == subscription.Active {
					step(s.ChangeAtEnd(), subscription.Span{})
				}
			case "period":
				step(s.Reperiod(rapid.SampledFrom([]subscription.Period{subscription.Monthly, {Days: 30}, subscription.Yearly}).Draw(t, "new period")), subscription.Span{})
			case "lead":
				next := s
				next.Lead, next.Notice = rapid.SampledFrom(subscription.Leads).Draw(t, "new lead"), 0
				step(next, subscription.Span{})
			}
		}
	})
}

// TestDaysAddUp: a span cut anywhere has as many days as its pieces together.
func TestDaysAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Int64Range(1, 4_000_000_000_000_000)
		a, b, c := license.Time(moment.Draw(t, "a")), license.Time(moment.Draw(t, "b")), license.Time(moment.Draw(t, "c"))
		if subscription.Days(a, b)+subscription.Days(b, c) != subscription.Days(a, c) {
			t.Fatal(a, b, c)
		}
	})
	if n := subscription.Days(at("2027-02-01T23:00:00Z"), at("2027-03-01T01:00:00Z")); n != 28 {
		t.Error(n)
	}
}
