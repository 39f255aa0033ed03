package seal

import (
	"crypto"
	"crypto/ed25519"
	"slices"
	"strconv"
	"testing"
	"time"

	"licet/license"
	"licet/seats"
)

// BenchmarkLicense compares the check of a license with nothing but the
// verification of one Ed25519 signature over as many bytes, in turns. Aim: at
// most 1.45 times. The median is the one to look at on a busy machine, where a
// single pause moves the mean.
func BenchmarkLicense(b *testing.B) {
	signed, body := home.license()
	signature := must(home.issuing.private.Sign(nil, signed, crypto.Hash(0)))
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

// BenchmarkSignLeases signs groups of leases; ns/lease is the share of one.
func BenchmarkSignLeases(b *testing.B) {
	for _, n := range []int{1, 8, 64, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			part := home.licensePart()
			l := home.session()
			leases := make([][]byte, n)
			b.ReportAllocs()
			for b.Loop() {
				for i := range leases {
					leases[i] = must(EncodeLease(l))
				}
				_, statements, err := SignLeases(home.scope, home.keys, 1, [32]byte{}, testTime, leases)
				if err != nil {
					b.Fatal(err)
				}
				for _, s := range statements {
					NewLeaseDocument(part, s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/lease")
		})
	}
}

func BenchmarkEncodeLease(b *testing.B) {
	l := home.session()
	b.ReportAllocs()
	for b.Loop() {
		must(EncodeLease(l))
	}
}

// BenchmarkVerifyLease checks a lease of a license that was met before, and of
// one that was not.
func BenchmarkVerifyLease(b *testing.B) {
	_, docs := home.leaseDocuments(slices.Repeat([]seats.Lease{home.session()}, 64)...)
	for name, met := range map[string]bool{"known": true, "new": false} {
		b.Run(name, func(b *testing.B) {
			v := must(NewVerifier(home.trust))
			b.ReportAllocs()
			for b.Loop() {
				if !met {
					clear(v.lessors)
				}
				if _, _, err := v.Lease(docs[5]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
