package sharing

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestVectors reads testdata/vectors.json, made by testdata/make_vectors.py.
func TestVectors(t *testing.T) {
	type point struct {
		X byte   `json:"x"`
		Y string `json:"y"`
	}
	var vectors []struct {
		Name, Secret, Random, Expect string
		N, K                         int
		Shares                       []point
	}
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			secret := unhex(v.Secret)
			var shares []Share
			for _, p := range v.Shares {
				shares = append(shares, Share{p.X, unhex(p.Y)})
			}
			got, err := Combine(shares, v.K)
			switch v.Expect {
			case "secret":
				if err != nil || !bytes.Equal(got, secret) {
					t.Errorf("combines to %x, %v", got, err)
				}
				made, err := Split(secret, v.N, v.K, bytes.NewReader(unhex(v.Random)))
				if err != nil {
					t.Fatal(err)
				}
				for i := range made {
					if made[i].X != shares[i].X || !bytes.Equal(made[i].Y, shares[i].Y) {
						t.Errorf("share %d is %v, want %v", i, made[i], shares[i])
					}
				}
			case "refused":
				if !errors.Is(err, ErrShares) {
					t.Errorf("got %x, %v", got, err)
				}
			case "another secret":
				if err != nil || bytes.Equal(got, secret) {
					t.Errorf("got %x, %v", got, err)
				}
			default:
				t.Errorf("unknown expectation %q", v.Expect)
			}
		})
	}
}

func TestField(t *testing.T) {
	if got := multiply(0x57, 0x83); got != 0xc1 { // FIPS 197, section 4.2
		t.Errorf("57 · 83 = %x", got)
	}
	for a := range 256 {
		want := byte(1)
		if a == 0 {
			want = 0
		}
		if got := multiply(byte(a), invert(byte(a))); got != want {
			t.Errorf("%x · 1/%x = %x", a, a, got)
		}
	}
}

// draw makes a sharing and k−1, or k, of its shares in any order.
func draw(t *rapid.T) (secret []byte, n, k int, shares []Share) {
	n = rapid.IntRange(1, 40).Draw(t, "n")
	k = rapid.IntRange(1, n).Draw(t, "k")
	secret = rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "secret")
	random := rapid.SliceOfN(rapid.Byte(), len(secret)*(k-1), len(secret)*(k-1)).Draw(t, "random")
	made, err := Split(secret, n, k, bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	return secret, n, k, rapid.Permutation(made).Draw(t, "order")
}

func TestAnyKShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret, _, k, shares := draw(t)
		got, err := Combine(shares[:k], k)
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("got %x, %v; want %x", got, err, secret)
		}
	})
}

// TestFewerSharesFitEverySecret: to k−1 shares and any other secret there is a
// missing share that fits, so the k−1 say nothing about which secret it is.
func TestFewerSharesFitEverySecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret, _, k, shares := draw(t)
		if _, err := Combine(shares[:k-1], k); !errors.Is(err, ErrShares) {
			t.Fatalf("%d shares of threshold %d: %v", k-1, k, err)
		}
		other := rapid.SliceOfN(rapid.Byte(), len(secret), len(secret)).Draw(t, "other")
		// The polynomial through (0, other) and the k−1 shares, at the place of
		// share k: shift every x so that this place becomes zero.
		at := shares[k-1].X
		points := []Share{{X: at, Y: other}}
		for _, share := range shares[:k-1] {
			points = append(points, Share{X: share.X ^ at, Y: share.Y})
		}
		missing, err := Combine(points, k)
		if err != nil {
			t.Fatal(err)
		}
		forged := append(append([]Share{}, shares[:k-1]...), Share{X: at, Y: missing})
		got, err := Combine(forged, k)
		if err != nil || !bytes.Equal(got, other) {
			t.Fatalf("got %x, %v; want %x", got, err, other)
		}
	})
}

func TestSplitRefuses(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {3, 0}, {3, 4}, {256, 2}, {-1, -1}} {
		if _, err := Split([]byte("s"), c[0], c[1], bytes.NewReader(make([]byte, 1000))); err == nil {
			t.Errorf("%d of %d accepted", c[1], c[0])
		}
	}
	if _, err := Split([]byte("secret"), 3, 2, bytes.NewReader(nil)); err == nil {
		t.Error("no random bytes, no error")
	}
}

func BenchmarkCombine(b *testing.B) {
	shares, err := Split(make([]byte, 32), 20, 13, bytes.NewReader(make([]byte, 12*32)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Combine(shares, 13); err != nil {
			b.Fatal(err)
		}
	}
}
