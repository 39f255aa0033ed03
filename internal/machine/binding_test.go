package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/internal/durable"
)

// source is a reproducible stream of bytes.
func source(seed byte) io.Reader {
	return rand.NewChaCha8([32]byte{seed})
}

func traits() []Trait {
	return []Trait{
		{MachineID, "m1", 4}, {NetworkAddress, "n1", 3}, {NetworkAddress, "n2", 3}, {DiskID, "d1", 3},
		{ComputerModel, "c1", 1}, {Processor, "p1", 1}, {HostName, "h1", 1},
	}
}

// with gives traits with all values of name replaced by value; "" takes it away.
func with(in []Trait, name, value string) []Trait {
	var out []Trait
	for _, trait := range in {
		switch {
		case trait.Name != name:
			out = append(out, trait)
		case value != "":
			trait.Value = value
			out = append(out, trait)
			value = ""
		}
	}
	return out
}

func TestBindAndOpen(t *testing.T) {
	binding, secrets, err := Bind(traits(), source(1))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(secrets.Loose, secrets.Medium) || bytes.Equal(secrets.Medium, secrets.Tight) || len(secrets.Tight) != SecretSize {
		t.Error("the secrets are not three")
	}
	for _, c := range []struct {
		name                           string
		traits                         []Trait
		opens                          string
		changed, missing, new, matched string
	}{
		{"the same", traits(), "loose medium tight", "", "", "", "machine id,network address,disk,computer model,processor,host name"},
		{"other order", append(traits()[3:], traits()[:3]...), "loose medium tight", "", "", "", "machine id,network address,disk,computer model,processor,host name"},
		{"one of two cards", with(traits(), NetworkAddress, "n2"), "loose medium tight", "", "", "", "machine id,network address,disk,computer model,processor,host name"},
		{"a card more", append(traits(), Trait{NetworkAddress, "n0", 3}), "loose medium tight", "", "", "", "machine id,network address,disk,computer model,processor,host name"},
		{"renamed", with(traits(), HostName, "h2"), "loose medium", "host name", "", "", "machine id,network address,disk,computer model,processor"},
		{"installed anew", with(traits(), MachineID, "m2"), "loose medium", "machine id", "", "", "network address,disk,computer model,processor,host name"},
		{"no disk", with(traits(), DiskID, ""), "loose medium", "", "disk", "", "machine id,network address,computer model,processor,host name"},
		{"two changed", with(with(traits(), DiskID, "d2"), HostName, "h2"), "loose medium", "disk,host name", "", "", "machine id,network address,computer model,processor"},
		{"three changed", with(with(with(traits(), DiskID, "d2"), HostName, "h2"), Processor, "p2"), "loose", "disk,processor,host name", "", "", "machine id,network address,computer model"},
		{"new trait", append(traits(), Trait{Mainboard, "b", 1}), "loose medium tight", "", "", "mainboard model", "machine id,network address,disk,computer model,processor,host name"},
		{"sister", with(with(with(with(traits(), MachineID, "m2"), NetworkAddress, "n3"), DiskID, "d3"), HostName, "h3"), "", "machine id,network address,disk,host name", "", "", "computer model,processor"},
		{"nothing", nil, "", "", "machine id,network address,disk,computer model,processor,host name", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, match, err := binding.Open(c.traits)
			var opens []string
			for _, s := range []struct {
				name      string
				got, want []byte
			}{{"loose", got.Loose, secrets.Loose}, {"medium", got.Medium, secrets.Medium}, {"tight", got.Tight, secrets.Tight}} {
				if s.got != nil {
					opens = append(opens, s.name)
					if !bytes.Equal(s.got, s.want) {
						t.Errorf("%s is another secret", s.name)
					}
				}
			}
			if diff := cmp.Diff(c.opens, strings.Join(opens, " ")); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != (c.opens == "") || err != nil && !errors.Is(err, ErrBelowLoose) {
				t.Errorf("error %v", err)
			}
			for _, pair := range [][2]string{
				{c.changed, strings.Join(match.Changed, ",")}, {c.missing, strings.Join(match.Missing, ",")},
				{c.new, strings.Join(match.New, ",")}, {c.matched, strings.Join(match.Matched, ",")},
			} {
				if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
					t.Error(diff)
				}
			}
			if match.Total != 13 || match.NeedLoose != 7 || match.NeedMedium != 9 || match.NeedTight != 13 || match.Strength != Strong {
				t.Errorf("%+v", match)
			}
		})
	}
}

func TestMatchInWords(t *testing.T) {
	binding, _, err := Bind(traits(), source(1))
	if err != nil {
		t.Fatal(err)
	}
	_, match, _ := binding.Open(with(with(traits(), DiskID, ""), HostName, "h2"))
	want := "Traits of the machine that differ: changed: host name; missing: disk (9 of 13 points match)."
	if got := match.Sentence(); got != want {
		t.Errorf("%q", got)
	}
	for name, c := range map[string]struct {
		traits []Trait
		want   string
	}{
		"fair": {[]Trait{{MachineID, "m", 4}, {HostName, "h", 1}}, Fair},
		"weak": {[]Trait{{InstallationID, "i", 1}, {HostName, "h", 1}}, Weak},
	} {
		binding, _, err := Bind(c.traits, source(1))
		if err != nil {
			t.Fatal(err)
		}
		_, match, err := binding.Open(c.traits)
		if err != nil || match.Strength != c.want || match.Explanation() == "" {
			t.Errorf("%s: %+v, %v", name, match, err)
		}
	}
}

// TestThresholds: what Bind promises, for any traits and any part of them.
func TestThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "traits")
		var all []Trait
		for i := range n {
			all = append(all, Trait{fmt.Sprint("t", i), fmt.Sprint("v", i), rapid.IntRange(1, 5).Draw(t, "weight")})
		}
		binding, secrets, err := Bind(all, source(rapid.Byte().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		var some []Trait
		score, own, ownTotal, heaviest := 0, 0, 0, 0
		for _, trait := range all {
			heaviest = max(heaviest, trait.Weight)
			if trait.Weight > SharedWeight {
				ownTotal++
			}
			if rapid.Bool().Draw(t, "present") {
				some = append(some, trait)
				score += trait.Weight
				if trait.Weight > SharedWeight {
					own++
				}
			}
		}
		got, match, err := binding.Open(some)
		if match.Score != score || !(1 <= match.NeedLoose && match.NeedLoose <= match.NeedMedium && match.NeedMedium <= match.NeedTight) {
			t.Fatalf("%+v", match)
		}
		if 2*match.NeedLoose < match.Total {
			t.Fatalf("less than half opens: %+v", match)
		}
		for _, s := range []struct {
			got, want []byte
			need      int
		}{{got.Loose, secrets.Loose, match.NeedLoose}, {got.Medium, secrets.Medium, match.NeedMedium}, {got.Tight, secrets.Tight, match.NeedTight}} {
			if score >= s.need != (s.got != nil) || s.got != nil && !bytes.Equal(s.got, s.want) {
				t.Fatalf("score %d of %d gives %x", score, s.need, s.got)
			}
		}
		if (err == nil) != (got.Loose != nil) {
			t.Fatal(err)
		}
		if got.Loose != nil && own == 0 && ownTotal > 0 {
			t.Fatal("opens without any trait of its own")
		}
		if got.Tight != nil && len(some) != n {
			t.Fatal("tight opens without a trait")
		}
		if match.NeedMedium < match.Total-heaviest {
			t.Fatal("medium forgives more than one trait")
		}
	})
}

func TestBindRefuses(t *testing.T) {
	many := func(n, weight int) (out []Trait) {
		for i := range n {
			out = append(out, Trait{fmt.Sprint(i), "v", weight})
		}
		return out
	}
	for name, traits := range map[string][]Trait{
		"none": nil, "no name": {{"", "v", 1}}, "no value": {{"n", "", 1}}, "no weight": {{"n", "v", 0}},
		"two weights": {{"n", "v", 1}, {"n", "w", 2}}, "heavy": many(2, 200), "many": many(40, 1),
	} {
		if _, _, err := Bind(traits, source(1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, _, err := Bind(traits(), bytes.NewReader(make([]byte, 100))); err == nil {
		t.Error("too few random bytes accepted")
	}
}

func TestBindingInBytes(t *testing.T) {
	binding, secrets, err := Bind(traits(), source(1))
	if err != nil {
		t.Fatal(err)
	}
	data, err := binding.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	for _, trait := range traits() {
		if bytes.Contains(data, []byte(trait.Value)) && len(trait.Value) > 3 {
			t.Errorf("the binding holds the value %q", trait.Value)
		}
	}
	var again Binding
	if err := again.UnmarshalCBOR(data); err != nil {
		t.Fatal(err)
	}
	got, _, err := again.Open(traits())
	if err != nil || !bytes.Equal(got.Tight, secrets.Tight) {
		t.Errorf("%v", err)
	}
	for i := range data {
		if err := new(Binding).UnmarshalCBOR(data[:i]); !errors.Is(err, ErrBinding) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
	if _, _, err := (Binding{}).Open(traits()); !errors.Is(err, ErrBelowLoose) {
		t.Errorf("no binding opens: %v", err)
	}
}

func FuzzBinding(f *testing.F) {
	binding, _, err := Bind(traits(), source(1))
	if err != nil {
		f.Fatal(err)
	}
	data, err := binding.MarshalCBOR()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Binding
		if err := b.UnmarshalCBOR(data); err != nil {
			return
		}
		_, match, _ := b.Open(traits())
		if len(match.Matched)+len(match.Changed)+len(match.Missing) == 0 {
			t.Error("a decoded binding has no traits")
		}
	})
}

func TestInstallation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	if _, err := ReadInstallation(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var disk durable.Disk
	first, err := Installation(&disk, dir, source(1))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Installation(&disk, dir, source(2))
	if err != nil || first != second || first.Weight != SharedWeight {
		t.Errorf("%v, %v, %v", first, second, err)
	}
	if err := disk.WritePath(filepath.Join(dir, installationFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Installation(&disk, dir, source(1)); err == nil {
		t.Error("a damaged file is accepted")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestBindIsFresh(t *testing.T) {
	one, _, _ := Bind(traits(), source(1))
	two, _, _ := Bind(traits(), source(2))
	for i, trait := range one.inner.Traits {
		for j := range trait.Values {
			if slices.Equal(trait.Values[j].Check, two.inner.Traits[i].Values[j].Check) {
				t.Error("two containers of one machine can be linked by their digests")
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	all := append(traits(), Trait{Mainboard, "b", 1}, Trait{RootFilesystem, "r", 2}, Trait{DeviceSerial, "s", 3})
	binding, _, err := Bind(all, source(1))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := binding.Open(all); err != nil {
			b.Fatal(err)
		}
	}
}
