package seats

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"licet/license"
	"licet/refusal"
)

// Limits of what ParseRules reads.
const (
	maxRules     = 1000
	maxRulesText = 256 << 10
	maxName      = 255 // of a host, user, group or product, in bytes
)

// Rules say who may have seats; see ParseRules. The zero value has no rule: only
// this machine may.
type Rules struct{ rules []rule }

// rule is one line.
type rule struct {
	line                       int
	text                       string
	deny                       bool
	user, host, group, product pattern
	subnet                     netip.Prefix
	limit, reserve             int64
	noLoan, transfer           bool
	longest                    license.Duration
}

// pattern is a name, or one with stars, in lower case; "" matches anything and
// says nothing.
type pattern string

// ParseRules reads rules as people write them, one a line:
//
//	# what follows a number sign is a remark
//	allow subnet=10.1.0.0/16
//	allow host=cad-* product=CAD-PRO limit=5
//	allow group="Test lab" product=CAD-PRO reserve=2 borrow=7d
//	allow user=ann transfer=yes
//	deny  user=guest
//
// A rule applies to callers for whom all of user, host, group, subnet and
// product are right; a star stands for any run of characters, capital letters count as
// small ones, and a value with spaces stands in double quotes. An allow may
// set: limit, how many seats of a product all whom the rule allows have
// together; reserve, how many seats are kept for them; borrow, the longest loan
// or "no"; transfer, whether seats may move to them for good.
//
// The most specific rule decides alone: compared are user, then host, group,
// subnet, product; a name is more specific than a pattern, a longer pattern than
// a shorter one, either than none. Of two that are equally specific deny
// decides, then the upper one.
func ParseRules(text string) (Rules, error) {
	if len(text) > maxRulesText {
		return Rules{}, refusal.New(refusal.InvalidInput, "The rules are longer than %d KiB.", maxRulesText>>10)
	}
	if !utf8.ValidString(text) {
		return Rules{}, refusal.New(refusal.InvalidInput, "The rules are no UTF-8 text.")
	}
	var r Rules
	for i, line := range strings.Split(text, "\n") {
		words, err := ruleWords(strings.TrimSuffix(line, "\r"))
		if err == nil && len(words) > 0 {
			var one rule
			if one, err = parseRule(words); err == nil {
				one.line, one.text = i+1, strings.Join(words, " ")
				r.rules = append(r.rules, one)
			}
		}
		if err != nil {
			return Rules{}, refusal.New(refusal.InvalidInput, "Line %d of the rules: %v.", i+1, err).With("line", i+1).
				Hinted("A rule is allow or deny, then any of user, host, group, subnet and product, then for allow any of limit, reserve, borrow and transfer, each as name=value.")
		}
	}
	if len(r.rules) > maxRules {
		return Rules{}, refusal.New(refusal.InvalidInput, "There are more than %d rules.", maxRules)
	}
	return r, nil
}

// String writes the rules, one a line, without remarks. ParseRules reads the
// same rules from it, but for their line numbers.
func (r Rules) String() string {
	var b strings.Builder
	for _, one := range r.rules {
		b.WriteString(one.text)
		b.WriteByte('\n')
	}
	return b.String()
}

// ruleWords splits a line at spaces outside of quotes and leaves out the remark.
func ruleWords(line string) ([]string, error) {
	var words []string
	start, quoted := -1, false
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
			if start < 0 {
				start = i
			}
		case unicode.IsControl(c) && c != '\t':
			return nil, fmt.Errorf("it has a character that cannot be printed")
		case quoted:
		case c == '#' && start < 0:
			return words, nil
		case c == ' ' || c == '\t':
			if start >= 0 {
				words, start = append(words, line[start:i]), -1
			}
		case start < 0:
			start = i
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quotation mark is missing")
	}
	if start >= 0 {
		words = append(words, line[start:])
	}
	return words, nil
}

func parseRule(words []string) (rule, error) {
	var r rule
	switch words[0] {
	case "allow":
	case "deny":
		r.deny = true
	default:
		return rule{}, fmt.Errorf("it begins with %q instead of allow or deny", words[0])
	}
	seen := map[string]bool{}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return rule{}, fmt.Errorf("%q is not name=value", word)
		}
		if seen[name] {
			return rule{}, fmt.Errorf("%s stands there twice", name)
		}
		seen[name] = true
		value, err := unquote(value)
		if err == nil {
			err = r.set(name, value)
		}
		if err != nil {
			return rule{}, err
		}
	}
	return r, nil
}

func unquote(value string) (string, error) {
	if inner, ok := strings.CutPrefix(value, `"`); ok {
		value, ok = strings.CutSuffix(inner, `"`)
		if !ok {
			return "", fmt.Errorf("what follows a quoted value is not separated by a space")
		}
	}
	switch {
	case value == "":
		return "", fmt.Errorf("a value is empty")
	case strings.Contains(value, `"`):
		return "", fmt.Errorf("a quotation mark stands inside a value")
	case len(value) > maxName:
		return "", fmt.Errorf("a value is longer than %d bytes", maxName)
	}
	return value, nil
}

// set takes in one name=value.
func (r *rule) set(name, value string) (err error) {
	switch name {
	case "user":
		r.user = pattern(fold(value))
	case "host":
		r.host = pattern(foldHost(value))
	case "group":
		r.group = pattern(fold(value))
	case "product":
		r.product = pattern(fold(value))
	case "subnet":
		return r.setSubnet(value)
	case "limit", "reserve", "borrow", "transfer":
		if r.deny {
			return fmt.Errorf("%s is for allow only", name)
		}
		return r.setOption(name, value)
	default:
		return fmt.Errorf("%q is none of user, host, group, subnet, product, limit, reserve, borrow, transfer", name)
	}
	return nil
}

func (r *rule) setSubnet(value string) (err error) {
	if strings.Contains(value, "/") {
		r.subnet, err = netip.ParsePrefix(value)
	} else {
		var a netip.Addr
		if a, err = netip.ParseAddr(value); err == nil {
			a = a.Unmap().WithZone("")
			r.subnet = netip.PrefixFrom(a, a.BitLen())
		}
	}
	if err != nil {
		return fmt.Errorf("%q is no subnet such as 10.1.0.0/16 or 2001:db8::/32, and no address", value)
	}
	if r.subnet != r.subnet.Masked() {
		return fmt.Errorf("the subnet %s has bits beyond its length; %s is meant", value, r.subnet.Masked())
	}
	if r.subnet.Addr().Is4In6() {
		return fmt.Errorf("write the subnet %s as IPv4", value)
	}
	return nil
}

func (r *rule) setOption(name, value string) (err error) {
	switch name {
	case "limit":
		r.limit, err = seatNumber(name, value)
	case "reserve":
		r.reserve, err = seatNumber(name, value)
	case "borrow":
		if r.noLoan = value == "no"; !r.noLoan {
			r.longest, err = license.ParseDuration(value)
			if err == nil && r.longest == 0 {
				err = fmt.Errorf("borrow=%s lends nothing; write borrow=no", value)
			}
		}
	case "transfer":
		r.transfer = value == "yes"
		if !r.transfer && value != "no" {
			err = fmt.Errorf("transfer is yes or no")
		}
	}
	return err
}

func seatNumber(name, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != value {
		return 0, fmt.Errorf("%s is a number of seats, 1 or more", name)
	}
	return n, nil
}

// fold makes names comparable: whoever is denied as "Guest" is as "GUEST" too.
func fold(name string) string { return strings.ToLower(name) }

func foldHost(name string) string { return strings.TrimSuffix(fold(name), ".") }

// Decision is what the rules say of one caller and one product, and why.
type Decision struct {
	Allow    bool             `json:"allow"`
	Line     int              `json:"line"` // of the rule that decides; 0 if none does
	Rule     string           `json:"rule,omitempty"`
	Why      string           `json:"why"`              // sentences for people
	Limit    int64            `json:"limit,omitzero"`   // seats of the product for all whom the rule allows; 0 means no limit
	Reserve  int64            `json:"reserve,omitzero"` // seats of the product that are kept for them
	NoLoan   bool             `json:"no_loan,omitzero"` // nothing may be borrowed
	Longest  license.Duration `json:"longest,omitzero"` // loan; 0 means as long as the license allows
	Transfer bool             `json:"transfer,omitzero"`

	rule int // index of the rule that decides, -1 if none does
}

// Decide says whether the caller may have seats of the product.
func (r Rules) Decide(who Caller, product string) Decision {
	if who.Admin {
		return Decision{Allow: true, Transfer: true, Why: "An administrator of the server acts, whom its rules do not bind.", rule: -1}
	}
	if len(r.rules) > 0 {
		who, product = folded(who), fold(product)
	}
	best, second := -1, -1
	for i := range r.rules {
		if !r.rules[i].applies(who, product) {
			continue
		}
		if best < 0 || r.rules[i].compare(&r.rules[best]) > 0 {
			best, second = i, best
		} else if second < 0 || r.rules[i].compare(&r.rules[second]) > 0 {
			second = i
		}
	}
	switch {
	case best >= 0:
	case who.Local:
		return Decision{Allow: true, Why: "No rule applies, and programs on the server's own machine need none.", rule: -1}
	default:
		return Decision{Why: "No rule applies, and beyond the server's own machine nobody gets a seat without one.", rule: -1}
	}
	b := &r.rules[best]
	d := Decision{Allow: !b.deny, Line: b.line, Rule: b.text, Limit: b.limit, Reserve: b.reserve,
		NoLoan: b.noLoan, Longest: b.longest, Transfer: b.transfer, rule: best}
	d.Why = fmt.Sprintf("Line %d decides: %s.", b.line, b.text)
	if second >= 0 {
		how := "is more specific than"
		if o := &r.rules[second]; b.specificity(o) == 0 {
			how = "is as specific as, and above,"
			if b.deny && !o.deny {
				how = "denies, and is as specific as"
			}
		}
		d.Why += fmt.Sprintf(" It %s line %d: %s.", how, r.rules[second].line, r.rules[second].text)
	}
	return d
}

// folded is the caller as rules compare it.
func folded(who Caller) Caller {
	who.Client.User, who.Client.Host = fold(who.Client.User), foldHost(who.Client.Host)
	groups := make([]string, len(who.Client.Groups))
	for i, g := range who.Client.Groups {
		groups[i] = fold(g)
	}
	who.Client.Groups = groups
	who.Address = who.Address.Unmap().WithZone("")
	return who
}

// applies is for a folded caller and product.
func (r *rule) applies(who Caller, product string) bool {
	return r.user.matches(who.Client.User) && r.host.matches(who.Client.Host) && r.product.matches(product) &&
		(!r.subnet.IsValid() || r.subnet.Contains(who.Address)) &&
		(r.group == "" || slices.ContainsFunc(who.Client.Groups, r.group.matches))
}

// compare is positive if r decides before o. Of equals the upper one is met
// first and stays.
func (r *rule) compare(o *rule) int {
	return cmp.Or(r.specificity(o), compareBool(r.deny, o.deny))
}

// specificity is positive if r is more specific than o.
func (r *rule) specificity(o *rule) int {
	return cmp.Or(
		cmp.Compare(r.user.weight(), o.user.weight()),
		cmp.Compare(r.host.weight(), o.host.weight()),
		cmp.Compare(r.group.weight(), o.group.weight()),
		cmp.Compare(r.bits(), o.bits()),
		cmp.Compare(r.product.weight(), o.product.weight()),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// bits is how much of an address the subnet fixes; IPv4 and IPv6 never both
// apply to one caller.
func (r *rule) bits() int {
	if !r.subnet.IsValid() {
		return -1
	}
	return r.subnet.Bits()
}

// weight orders patterns: nothing, fewer fixed characters, more, a whole name.
func (p pattern) weight() int {
	stars := strings.Count(string(p), "*")
	switch {
	case p == "":
		return 0
	case stars == 0:
		return maxName + 2
	}
	return 1 + len(p) - stars
}

// matches compares a name from its start to its end; each star takes as little
// as it can, which finds a way if there is one.
func (p pattern) matches(name string) bool {
	if p == "" {
		return true
	}
	pi, ni, star, mark := 0, 0, -1, 0
	for ni < len(name) {
		switch {
		case pi < len(p) && p[pi] == '*':
			star, mark = pi, ni
			pi++
		case pi < len(p) && p[pi] == name[ni]:
			pi++
			ni++
		case star >= 0:
			mark++
			pi, ni = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(string(p[pi:]), "*") == ""
}
