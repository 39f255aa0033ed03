package license

import (
	"fmt"
	"strings"

	"licet/refusal"
)

// Ticket is a redemption code in its one spelling: five groups of five
// characters joined by hyphens. Whoever has it may activate its licenses, so it
// is a secret: keep it out of logs and addresses.
type Ticket string

// ticketAlphabet has 31 letters and digits without look-alikes (no 0 O 1 I L).
// 31 is prime, which makes the check character catch what people mistype.
const ticketAlphabet = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"

const (
	ticketRandom = 24 // random characters, 118 bits
	ticketLength = 25 // with the check character
	ticketGroup  = 5
)

// NewTicket draws a ticket from random, reading bytes until it has 24
// characters without bias.
func NewTicket(random func([]byte)) Ticket {
	const fair = 256 - 256%len(ticketAlphabet)
	code := make([]byte, 0, ticketLength)
	var b [32]byte
	for len(code) < ticketRandom {
		random(b[:])
		for _, x := range b {
			if int(x) < fair && len(code) < ticketRandom {
				code = append(code, ticketAlphabet[int(x)%len(ticketAlphabet)])
			}
		}
	}
	return spell(append(code, checkCharacter(code)))
}

// ParseTicket reads a ticket as people type it: any case, hyphens and blanks
// anywhere. A text that is no ticket, or in which one character is wrong or two
// neighbors are swapped, is refused with TicketUnknown before any look-up.
func ParseTicket(text string) (Ticket, error) {
	code := make([]byte, 0, ticketLength)
	for _, c := range []byte(text) {
		if 'a' <= c && c <= 'z' { // ASCII alone: no other letter folds into one of ours
			c -= 'a' - 'A'
		}
		switch {
		case c == '-' || c == ' ' || c == '\t':
		case strings.IndexByte(ticketAlphabet, c) < 0 || len(code) == ticketLength:
			return "", mistyped(text)
		default:
			code = append(code, c)
		}
	}
	if len(code) != ticketLength || checkCharacter(code[:ticketRandom]) != code[ticketRandom] {
		return "", mistyped(text)
	}
	return spell(code), nil
}

// checkCharacter makes the sum of value times place (1 to 25) a multiple of 31.
// A single typo changes the sum by place times difference and a swap of
// neighbors by the difference of the two; neither is a multiple of 31.
func checkCharacter(code []byte) byte {
	const p = len(ticketAlphabet)
	sum := 0
	for i, c := range code {
		sum += (i + 1) * strings.IndexByte(ticketAlphabet, c)
	}
	for v := range p {
		if (sum+ticketLength*v)%p == 0 {
			return ticketAlphabet[v]
		}
	}
	panic("license: 25 has an inverse modulo 31")
}

func spell(code []byte) Ticket {
	var groups []string
	for i := 0; i < len(code); i += ticketGroup {
		groups = append(groups, string(code[i:i+ticketGroup]))
	}
	return Ticket(strings.Join(groups, "-"))
}

func mistyped(text string) error {
	return refusal.New(refusal.TicketUnknown, "%s is not a ticket.", shorten(text)).
		Hinted("Check for a typo: a ticket is five groups of five characters, such as ABCDE-FGH23-….")
}

func shorten(text string) string {
	if len(text) > 40 {
		return fmt.Sprintf("%q…", text[:40])
	}
	return fmt.Sprintf("%q", text)
}
