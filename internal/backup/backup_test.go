package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"filippo.io/age"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mark stands for the secret of a server.
func mark(secret string) func([]byte) [32]byte {
	return func(sum []byte) [32]byte { return sha256.Sum256(append([]byte(secret), sum...)) }
}

var tables = []Table{{"orders", []string{"id", "number", "sealed"}}, {"empty", []string{"id"}}, {"events", []string{"id", "details"}}}

// large makes rows that fill more than one frame.
const large = 30 << 10

// rows of each table; those of events are more than one frame.
func rows(size int) [][][]any {
	out := [][][]any{{{"ord_1", int64(-7), []byte{0, 255}}, {"ord_2", nil, []byte(nil)}}, {}, {}}
	for i := range 20 {
		out[2] = append(out[2], []any{fmt.Sprint("evt_", i), string(bytes.Repeat([]byte{'x'}, size))})
	}
	out[0][1][2] = nil
	return out
}

func written(t testing.TB, size int, recipients ...age.Recipient) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Program: "test", Vendor: "v", Epoch: 3, Schema: 11, Tables: tables}, recipients...)
	must(t, err)
	for i, list := range rows(size) {
		for _, row := range list {
			must(t, w.Row(i, row))
		}
	}
	must(t, w.Close(mark("s")))
	return file.Bytes()
}

// read reads a file to its end.
func read(file []byte, identities ...age.Identity) (got [][][]any, b *Reader, err error) {
	got = [][][]any{{}, {}, {}}
	b, err = NewReader(bytes.NewReader(file), identities...)
	for err == nil {
		var at int
		var list [][]any
		if at, list, err = b.Next(); err == nil {
			got[at] = append(got[at], list...)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return got, b, err
}

func TestRoundTrip(t *testing.T) {
	got, b, err := read(written(t, large))
	must(t, err)
	if !reflect.DeepEqual(got, rows(large)) {
		t.Fatal("other rows came back")
	}
	if b.Header.Vendor != "v" || b.Header.Epoch != 3 || b.Header.Schema != 11 || b.Rows() != 22 {
		t.Fatalf("%+v, %d rows", b.Header, b.Rows())
	}
	if !b.MarkedBy(mark("s")) || b.MarkedBy(mark("another")) {
		t.Fatal("the mark does not tell whose it is")
	}
}

// TestDamage: no cut and no changed byte gives a file that is whole, and other rows. A
// byte of gzip may be another, and say the same.
func TestDamage(t *testing.T) {
	file := written(t, 20)
	refused := func(name string, file []byte) {
		t.Helper()
		got, b, err := read(file)
		if err == nil && b.MarkedBy(mark("s")) && !reflect.DeepEqual(got, rows(20)) {
			t.Errorf("%s: taken for whole", name)
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range file {
		if _, _, err := read(file[:n]); err == nil {
			t.Errorf("cut at %d: taken for whole", n)
		}
		for _, bit := range []byte{1, 128} {
			changed := bytes.Clone(file)
			changed[n] ^= bit
			refused(fmt.Sprintf("byte %d changed", n), changed)
		}
	}
	for name, more := range map[string][]byte{"something behind": {0}, "twice": file} {
		if _, _, err := read(append(bytes.Clone(file), more...)); err == nil {
			t.Errorf("%s: taken for whole", name)
		}
	}
}

// TestForged: who has no secret can write a file that is whole, and not one with the
// mark.
func TestForged(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Tables: tables})
	must(t, err)
	must(t, w.Row(2, []any{"evt_1", "forged"}))
	must(t, w.Close(mark("guessed")))
	_, b, err := read(file.Bytes())
	must(t, err)
	if b.MarkedBy(mark("s")) {
		t.Fatal("the mark was forged")
	}
}

func TestOtherFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":       {nil, ErrForeign},
		"a line":        {[]byte("hello\n"), ErrForeign},
		"a database":    {append([]byte("SQLite format 3\x00"), make([]byte, 4096)...), ErrForeign},
		"its beginning": {[]byte(magic[:8]), ErrDamaged},
		"newer":         {append([]byte("LICET BACKUP 9\n"), 1, 2, 3), ErrNewer},
		"no gzip":       {append([]byte(magic), 1, 2, 3), ErrDamaged},
	} {
		if _, _, err := read(c.file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncrypted(t *testing.T) {
	mine, err := age.GenerateX25519Identity()
	must(t, err)
	other, err := age.GenerateX25519Identity()
	must(t, err)
	file := written(t, large, mine.Recipient())
	if bytes.Contains(file, []byte("evt_1")) || bytes.Contains(file, []byte(magic)) {
		t.Fatal("it can be read")
	}
	got, _, err := read(file, mine)
	must(t, err)
	if !reflect.DeepEqual(got, rows(large)) {
		t.Fatal("other rows came back")
	}
	for name, ids := range map[string][]age.Identity{"no identity": nil, "another": {other}} {
		if _, _, err := read(file, ids...); !errors.Is(err, ErrEncrypted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{20, 200, len(file) / 2, len(file) - 1} {
		if _, _, err := read(file[:n], mine); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}
