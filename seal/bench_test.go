package seal

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"licet/license"
)

// BenchmarkLicense compares the check of a license with nothing but the
// verification of one Ed25519 signature over as many bytes, in turns. Aim: at
// most 1.45 times. The median is the one to look at on a busy machine, where a
// single pause moves the mean.
func BenchmarkLicense(b *testing.B) {
	signed, body := home.license()
	signature := ed25519.Sign(home.issuing.private, signed)
	public := ed25519.PublicKey(home.issuing.Public())
	var raw, ours []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if !ed25519.Verify(public, signed, signature) {
			b.Fatal("the signature does not fit")
		}
		between := time.Now()
		if _, _, err := home.verifier.License(signed, body); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(between))
		raw = append(raw, between.Sub(start))
	}
	b.ReportMetric(float64(sum(ours))/float64(sum(raw)), "x-raw-mean")
	b.ReportMetric(float64(median(ours))/float64(median(raw)), "x-raw-median")
	b.ReportMetric(float64(median(ours)), "license-median-ns")
	b.ReportMetric(float64(median(raw)), "raw-median-ns")
}

func sum(ds []time.Duration) (total time.Duration) {
	for _, d := range ds {
		total += d
	}
	return total
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func BenchmarkSealUpdate(b *testing.B) {
	u, to := home.update(), home.keys.Identity(license.Machine)
	b.ReportAllocs()
	for b.Loop() {
		must(SealUpdate(home.scope, home.issuing, to, u))
	}
}

func BenchmarkOpenUpdate(b *testing.B) {
	file := home.updateFile()
	b.ReportAllocs()
	for b.Loop() {
		must(home.verifier.OpenUpdate(file, home.keys))
	}
}

func BenchmarkSealReport(b *testing.B) {
	r := home.report(Request)
	b.ReportAllocs()
	for b.Loop() {
		must(SealReport(home.trust, home.keys, r))
	}
}

func BenchmarkOpenReport(b *testing.B) {
	file := home.reportFile(Request)
	b.ReportAllocs()
	for b.Loop() {
		must(OpenReport(home.scope, file, home.sealing))
	}
}

func BenchmarkSignStep(b *testing.B) {
	step := home.step([32]byte{1})
	b.ReportAllocs()
	for b.Loop() {
		must(SignStep(home.scope, home.issuing, &step))
	}
}
