package seal

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"licet/refusal"
)

// The armor of a file: a first line, base64 in lines of 64 characters, a last
// line. It has one spelling.
const (
	armorBegin = "-----BEGIN LICET "
	armorEnd   = "-----END LICET "
	armorTail  = "-----\n"
	armorLine  = 64
)

// fileKind says how a kind of file is called and how large it may be.
type fileKind struct {
	kind  Kind
	label string
	what  string // for people
	limit int

	version uint64 // the latest
}

var fileKinds = []fileKind{
	{Request, "REQUEST", "request", MaxReport, Version},
	{Receipt, "RECEIPT", "receipt", MaxReport, Version},
	{Update, "UPDATE", "update", MaxUpdate, Version},
	{TrustBundle, "TRUST", "trust file", MaxTrust, trustFormat},
	{BlockListFile, "BLOCKLIST", "block list", MaxBlockList, Version},
	{LoanRequest, "LOAN-REQUEST", "loan request", MaxLoanRequest, Version},
	{LoanFile, "LOAN", "loan", MaxLoan, Version},
}

// maxFile is the largest limit.
const maxFile = MaxUpdate

func lookupKind(k Kind) fileKind {
	for _, f := range fileKinds {
		if f.kind == k {
			return f
		}
	}
	panic("seal: no such kind of file: " + string(k))
}

// labelled is the kind's label in a format version; the first is not written.
func (f fileKind) labelled(version uint64) string {
	if version <= 1 {
		return f.label
	}
	return f.label + " " + strconv.FormatUint(version, 10)
}

// armor writes a file.
func armor(k Kind, raw []byte) []byte { return armorVersion(k, 1, raw) }

func armorVersion(k Kind, version uint64, raw []byte) []byte {
	label := lookupKind(k).labelled(version)
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(raw))*(armorLine+1)/armorLine+80)
	b = append(append(append(b, armorBegin...), label...), armorTail...)
	for len(raw) > 0 {
		n := min(len(raw), armorLine/4*3)
		b = append(base64.StdEncoding.AppendEncode(b, raw[:n]), '\n')
		raw = raw[n:]
	}
	return append(append(append(b, armorEnd...), label...), armorTail...)
}

// dearmor reads a file of one of the wanted kinds.
func dearmor(file []byte, wanted ...Kind) (Kind, []byte, error) {
	kind, _, raw, err := dearmorVersion(file, wanted...)
	return kind, raw, err
}

// dearmorVersion is dearmor that says which version the label names.
func dearmorVersion(file []byte, wanted ...Kind) (Kind, uint64, []byte, error) {
	wish := lookupKind(wanted[0])
	if len(file) > maxFile {
		return "", 0, nil, tooLarge(wish.what, len(file), wish.limit)
	}
	f, version, err := armorKind(file, wish)
	if err != nil {
		return "", 0, nil, err
	}
	if !slices.Contains(wanted, f.kind) {
		return "", 0, nil, refusal.New(refusal.WrongFile, "This is %s; wanted is %s.", article(f.what), article(wish.what)).
			With("is", string(f.kind)).With("wanted", string(wish.kind))
	}
	if len(file) > f.limit {
		return "", 0, nil, tooLarge(f.what, len(file), f.limit)
	}
	label := f.labelled(version)
	text, whole := bytes.CutSuffix(file[len(armorBegin)+len(label)+len(armorTail):], []byte(armorEnd+label+armorTail))
	if !whole {
		return "", 0, nil, carried(f.what)
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(raw, text)
	if err != nil || n == 0 || !bytes.Equal(armorVersion(f.kind, version, raw[:n]), file) {
		return "", 0, nil, carried(f.what)
	}
	return f.kind, version, raw[:n], nil
}

// armorKind reads the first line.
func armorKind(file []byte, wanted fileKind) (fileKind, uint64, error) {
	rest, ok := bytes.CutPrefix(file, []byte(armorBegin))
	if !ok {
		if bytes.Contains(file[:min(len(file), 512)], []byte(armorBegin)) {
			return fileKind{}, 0, carried(wanted.what)
		}
		return fileKind{}, 0, refusal.New(refusal.WrongFile, "This is no Licet file; wanted is %s.", article(wanted.what)).
			With("wanted", string(wanted.kind))
	}
	line, _, _ := bytes.Cut(rest[:min(len(rest), 64)], []byte("\n"))
	label, ended := strings.CutSuffix(string(line), "-----")
	for _, f := range fileKinds {
		switch number, versioned := strings.CutPrefix(label, f.label+" "); {
		case ended && label == f.label && len(rest) > len(line):
			return f, 1, nil
		case ended && versioned:
			// The first version has no number in its label.
			n, err := strconv.ParseUint(number, 10, 32)
			switch {
			case err != nil || n < 2 || strconv.FormatUint(n, 10) != number:
			case n <= f.version && len(rest) > len(line):
				return f, n, nil
			case n > f.version:
				return fileKind{}, 0, unsupportedBy(f.what, n, f.version)
			}
		}
	}
	return fileKind{}, 0, carried(wanted.what)
}

// carried refuses a file that suffered on its way.
func carried(what string) error {
	r, _ := refusal.As(damaged(what))
	return r.Hinted("Copy the file again, byte for byte: as an attachment, not as text in a message.")
}

func article(what string) string {
	if what == "update" {
		return "an " + what
	}
	return "a " + what
}
