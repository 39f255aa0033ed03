package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"licet/internal/store"
)

// known is what the events about a container come to.
type known struct {
	registered bool
	kind       string
	since      int64

	issued, acked int64
	life          []byte           // at acked
	lives         map[int64][]byte // proven, by step
	steps         map[int64]issued // by number

	flag    flag
	closed  int64 // by the steps' events
	blocked block
	lent    string // as the column has it
	epoch   int64  // that it knows
}

type issued struct {
	event, ops, lock string
	time             int64
	unknown          []string // licenses of a brought step that the record did not know
	brought          bool
}

type flag struct {
	reason       string
	time, number int64
	life         []byte
	acceptable   int64
}

// containerDetails are those of every event about a container itself.
type containerDetails struct {
	Kind       string
	Step       int64
	Operations []toldOp
	From, To   int64
	Lives      []string
	Reason     string
	At         int64
	Proof      string
	Life       string
	Acceptable bool
	Lock       string
	Why        string
	Was        json.RawMessage // of an event about a block, a text
	List       int64
	Lent       json.RawMessage
	Epoch      int64
	Steps      []broughtStep
}

// toldOp is an operation as an event tells of it.
type toldOp struct {
	Op, License string
	Generation  int64
	Product     string
	Phase       int64
}

func opTexts(ops []toldOp) string {
	var texts []string
	for _, o := range ops {
		texts = append(texts, opText(o.Op, o.Phase, o.License, o.Generation, o.Product))
	}
	return strings.Join(texts, "; ")
}

// broughtStep is a step that a container brought after the record had lost it, as
// the event tells of it.
type broughtStep struct {
	Step, Time int64
	Operations []toldOp
	Lock       string
	Unknown    []string
}

// replay folds the events about a container.
func (v *run) replay(serial string, events []store.SubjectEvent) known {
	start := lifeStart(serial)
	k := known{life: start[:], lives: map[int64][]byte{}, steps: map[int64]issued{}, epoch: 1}
	parsed := map[string]containerDetails{}
	for _, e := range events {
		var d containerDetails
		v.details(e, &d)
		parsed[e.ID] = d
	}
	fits := func(e store.SubjectEvent) bool {
		d := parsed[e.ID]
		switch e.Name {
		case "container_registered":
			return !k.registered
		case "step_issued":
			return k.registered && d.Step == k.issued+1
		case "steps_confirmed":
			return d.From == k.acked+1 && d.To >= d.From && d.To <= k.issued && int64(len(d.Lives)) == d.To-d.From+1
		case "steps_brought":
			return k.registered && d.From == k.acked+1 && d.To >= d.From && d.To == max(k.issued, k.lastOf(d.Steps)) || k.registered && len(d.Steps) == 0 && d.From == k.acked+1 && d.To <= k.issued
		case "container_settled":
			return k.registered && d.Epoch > k.epoch
		case "container_flagged":
			return k.flag.reason == "" && d.Reason != ""
		case "container_accepted":
			return k.flag.reason != "" && d.At == k.flag.number && k.flag.acceptable == 1
		case "container_blocked":
			return k.blocked.reason == "" && d.Why != ""
		case "container_unblocked":
			return k.blocked.reason != "" && k.blocked.reason == plainText(d.Was)
		case "seats_lent":
			return k.registered && listText(d.Was) == k.lent
		}
		return false
	}
	arrange(events, fits, func(e store.SubjectEvent, fit bool) {
		d := parsed[e.ID]
		if !fit {
			v.find("events", e.ID, "", "", "", "%s of container %s does not follow from the events before it", e.Name, serial)
		}
		switch e.Name {
		case "container_registered":
			k.registered, k.kind, k.since = true, d.Kind, e.Time
			if v.epochAt(e.ID) > 1 {
				k.epoch = d.Epoch
			}
		case "step_issued":
			k.issued = max(k.issued, d.Step)
			k.steps[d.Step] = issued{event: e.ID, ops: opTexts(d.Operations), lock: d.Lock, time: e.Time}
			if d.Lock != "" {
				k.closed = map[string]int64{"lock": 1}[d.Lock]
			}
		case "steps_confirmed":
			for i, text := range d.Lives {
				life, _ := hex.DecodeString(text) // a bad one fits no row
				k.lives[d.From+int64(i)], k.life = life, life
			}
			k.acked = d.To
		case "steps_brought":
			for _, s := range d.Steps {
				k.issued = max(k.issued, s.Step)
				k.steps[s.Step] = issued{e.ID, opTexts(s.Operations), s.Lock, s.Time, s.Unknown, true}
				if s.Lock != "" {
					k.closed = map[string]int64{"lock": 1}[s.Lock]
				}
			}
			k.acked, k.life = d.To, nil
			k.life, _ = hex.DecodeString(d.Life)
			k.lives[d.To] = k.life
		case "container_settled":
			k.epoch = d.Epoch
		case "container_flagged":
			life, _ := hex.DecodeString(d.Life)
			k.flag = flag{reason: d.Reason, time: e.Time, number: d.At, life: life}
			if d.Acceptable {
				k.flag.acceptable = 1
			}
			v.proofs[d.Proof] = proof{serial, e.Time}
		case "container_accepted":
			v.top[serial] = max(v.top[serial], k.acked, k.flag.number)
			k.acked, k.life = k.flag.number, k.flag.life
			for n := range k.lives {
				if n > k.acked {
					delete(k.lives, n)
				}
			}
			if k.acked > 0 {
				k.lives[k.acked] = k.life
			}
			k.flag = flag{}
			v.accepted[serial] = append(v.accepted[serial], k.acked)
		case "container_blocked":
			k.blocked = block{kind: "container", subject: serial, added: d.List, reason: d.Why, created: e.Time, event: e.ID}
			v.lists(k.blocked)
		case "seats_lent":
			k.lent = listText(d.Lent)
		case "container_unblocked":
			k.blocked.lifted = d.List
			v.blocks[k.blocked.added] = k.blocked
			k.blocked = block{}
		}
	})
	return k
}

// lastOf is the number of the last of brought steps that follow what was issued
// without a gap; 0 if they do not.
func (k *known) lastOf(steps []broughtStep) int64 {
	for i, s := range steps {
		if s.Step != k.issued+int64(i)+1 {
			return 0
		}
	}
	return k.issued + int64(len(steps))
}

// listText is a JSON list as a column holds it, "" for none.
func listText(raw json.RawMessage) string {
	if text := string(raw); text != "[]" && text != "null" {
		return text
	}
	return ""
}

// plainText is a JSON text, "" for anything else.
func plainText(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // what is no text fits nothing
	return text
}

func opText(kind string, phase int64, license string, generation int64, product string) string {
	return fmt.Sprintf("%s %s (%s) generation %d in phase %d", kind, license, product, generation, phase)
}

func kindText(kind int64) string {
	switch kind {
	case 1:
		return "put"
	case 2:
		return "drop"
	}
	return fmt.Sprint("kind ", kind)
}

// signed is a step's document after its signature was looked at.
type signed struct {
	store.RawStep
	document document
	step     step
	fault    string // why it does not prove, "" if it does
}

// containers replays the log of every container from its signed steps and from
// its events, and holds the rows against both.
func (v *run) containers() error {
	rows := &pages[store.RawContainer]{load: func(last store.RawContainer) ([]store.RawContainer, error) {
		return v.tx.RawContainers(last.Serial, pageSize)
	}}
	steps := &pages[signed]{load: func(last signed) ([]signed, error) {
		raw, err := v.tx.RawSteps(last.Container, last.Number, pageSize)
		out := make([]signed, len(raw))
		for i := range raw {
			out[i].RawStep = raw[i]
		}
		return out, err
	}, ready: func(page []signed) { parallel(page, v.verifyStep) }}
	ops := &pages[store.RawOp]{load: func(last store.RawOp) ([]store.RawOp, error) {
		place := last.Place
		if last.Container == "" {
			place = -1
		}
		return v.tx.RawOps(last.Container, last.Number, place, pageSize)
	}}
	events := v.subjectEvents("container")
	for {
		var serial string
		row := rows.peek()
		if row != nil {
			serial = row.Serial
		}
		if e := events.peek(); e != nil {
			serial = least(serial, e.Subject)
		}
		if s := steps.peek(); s != nil {
			serial = least(serial, s.Container)
		}
		if o := ops.peek(); o != nil {
			serial = least(serial, o.Container)
		}
		if serial == "" {
			return cmp.Or(rows.err, steps.err, ops.err, events.err)
		}
		k := v.replay(serial, take(events, serial))
		if row == nil || row.Serial != serial {
			row = nil
			v.find("containers", serial, "", "", "", "the row is missing; events, steps or operations tell of it")
		} else {
			row = rows.next()
			v.read("containers")
		}
		last := v.log(serial, row, k, steps, ops)
		if row != nil {
			v.container(*row, k, last)
		}
	}
}

// end is where the steps of a container lead.
type end struct {
	number int64
	plan   [32]byte
	closed int64
}

// container holds a container's row against its events and its steps.
func (v *run) container(c store.RawContainer, k known, last end) {
	const told = "the events about it"
	if !k.registered {
		v.find("containers", c.Serial, "", "", "", "no event says that it was registered")
		return
	}
	v.same("containers", c.Serial, "serial", c.Serial, serialName(c.SigningKey, c.SealingKey), "the hash of its public keys: they were replaced, or the serial was")
	v.same("containers", c.Serial, "kind", c.Kind, k.kind, told)
	v.same("containers", c.Serial, "first_seen", moment(c.FirstSeen), moment(k.since), told)
	v.same("containers", c.Serial, "issued", c.Issued, k.issued, told)
	v.same("containers", c.Serial, "issued", c.Issued, last.number, "its last step")
	v.same("containers", c.Serial, "issued_plan", c.IssuedPlan, last.plan[:], "the plan hash of its last step")
	v.same("containers", c.Serial, "acked", c.Acked, k.acked, told)
	v.same("containers", c.Serial, "acked_life", c.AckedLife, k.life, told)
	v.same("containers", c.Serial, "flag_reason", c.FlagReason, k.flag.reason, told)
	v.same("containers", c.Serial, "flag_time", moment(c.FlagTime), moment(k.flag.time), told)
	v.same("containers", c.Serial, "flag_number", c.FlagNumber, k.flag.number, told)
	v.same("containers", c.Serial, "flag_life", c.FlagLife, k.flag.life, told)
	v.same("containers", c.Serial, "flag_acceptable", c.FlagAcceptable, k.flag.acceptable, told)
	v.same("containers", c.Serial, "closed", c.Closed, last.closed, "its last step with a lock")
	v.same("containers", c.Serial, "block_reason", c.BlockReason, k.blocked.reason, told)
	v.same("containers", c.Serial, "lent", c.Lent, k.lent, "what it told of seats that are out")
	v.same("containers", c.Serial, "epoch", c.Epoch, k.epoch, told)
	v.same("containers", c.Serial, "block_time", moment(c.BlockTime), moment(k.blocked.created), told)
	if c.Earmarks != 0 {
		v.counted[c.Serial] = c.Earmarks
	}
}

// log checks the steps of one container, with their operations.
func (v *run) log(serial string, c *store.RawContainer, k known, steps *pages[signed], ops *pages[store.RawOp]) end {
	at := end{plan: planStart(serial)}
	var key []byte
	if c != nil && serialName(c.SigningKey, c.SealingKey) == serial {
		key = c.SigningKey
	}
	var epoch int64
	for s := steps.peek(); s != nil && s.Container == serial; s = steps.peek() {
		steps.next()
		v.read("steps")
		for n := at.number + 1; n < s.Number; n++ {
			v.find("steps", stepKey(serial, n), "", "", "", "the row is missing: a later step is there")
		}
		v.step(*s, k, &at, &epoch, v.operations(serial, s.Number, ops), key)
		at.number = s.Number
	}
	v.operations(serial, 1<<62, ops)
	for n := at.number + 1; n <= k.issued; n++ {
		v.find("steps", stepKey(serial, n), "", "", "", "the row is missing: event %s says that it was issued", k.steps[n].event)
	}
	return at
}

func stepKey(serial string, number int64) string { return fmt.Sprintf("%s/%d", serial, number) }

func opKey(o store.RawOp) string { return fmt.Sprintf("%s/%d/%d", o.Container, o.Number, o.Place) }

// operations takes those of one step; those before it belong to none.
func (v *run) operations(serial string, number int64, ops *pages[store.RawOp]) []store.RawOp {
	var out []store.RawOp
	for o := ops.peek(); o != nil && o.Container == serial && o.Number <= number; o = ops.peek() {
		ops.next()
		v.read("step_ops")
		if o.Number < number {
			v.find("step_ops", opKey(*o), "", "", "", "there is no such step")
			continue
		}
		out = append(out, *o)
	}
	return out
}

// parallel does something with each of a page, on every processor.
func parallel[T any](page []T, do func(*T)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(page); i += workers {
				do(&page[i])
			}
		})
	}
	wg.Wait()
}

func (v *run) verifyStep(s *signed) {
	var err error
	if s.document, err = parseDocument(s.Signed); err != nil {
		s.fault = "it is no signed document"
	} else if s.fault = v.issuedBy(s.document, "step", 0); s.fault != "" {
		return
	} else if s.step, err = parseStep(s.document.payload); err != nil {
		s.fault = "what was signed is no step"
	} else {
		s.fault = v.issuedBy(s.document, "step", s.step.time)
	}
}

// step holds the row of a step and those of its operations against its signed
// bytes, and the signed bytes against the log before them.
func (v *run) step(s signed, k known, at *end, epoch *int64, ops []store.RawOp, containerKey []byte) {
	key := stepKey(s.Container, s.Number)
	const bytesOf = "the signed bytes of the step"
	if s.fault == "" {
		v.made[s.document.key]++
	}
	if s.Number < 1 {
		v.find("steps", key, "number", show(s.Number), "", "steps are numbered from 1 on")
	}
	told, known := k.steps[s.Number]
	if !known {
		v.find("steps", key, "", "", "", "no event says that it was issued")
	}
	v.life(s, k, key)
	if s.fault != "" {
		v.find("steps", key, "signed", "", "", "%s", s.fault)
		copy(at.plan[:], s.Plan) // so that the next step is judged by itself
		return
	}
	if s.step.container != s.Container || s.step.number != s.Number {
		v.find("steps", key, "signed", stepKey(s.step.container, s.step.number), key, "the signed bytes are those of another step")
		copy(at.plan[:], s.Plan)
		return
	}
	v.same("steps", key, "time", moment(s.Time), moment(s.step.time), bytesOf)
	v.same("steps", key, "epoch", s.Epoch, s.step.epoch, bytesOf)
	if s.Number != at.number+1 {
		copy(at.plan[:], s.step.previous) // of what is missing before it
	}
	if !bytes.Equal(s.step.previous, at.plan[:]) {
		v.find("steps", key, "signed", show(s.step.previous), show(at.plan[:]), "the step does not continue the log: it names another plan hash before it")
		copy(at.plan[:], s.step.previous)
	}
	if s.step.epoch > v.epoch {
		v.find("vendor", v.scope.vendor, "epoch", show(v.epoch), show(s.step.epoch)+" or more", "the signed step %s", key)
	}
	if s.step.epoch < max(*epoch, 1) {
		v.find("steps", key, "signed", "epoch "+show(s.step.epoch), "", "its epoch is lower than that of the step before, %d", *epoch)
	}
	*epoch = max(*epoch, s.step.epoch)
	at.plan = nextPlan([32]byte(at.plan), s.document.payload)
	if s.step.lock != 0 {
		at.closed = 2 - s.step.lock
	}
	v.same("steps", key, "plan", s.Plan, at.plan[:], "the plan hash before the step and its signed bytes")

	var texts []string
	for i, op := range s.step.ops {
		texts = append(texts, opText(kindText(op.kind), op.phase, op.license, op.generation, op.product))
		at := slices.IndexFunc(ops, func(o store.RawOp) bool { return o.Place == int64(i) })
		if at < 0 && slices.Contains(told.unknown, op.license) {
			continue
		}
		if at < 0 {
			v.find("step_ops", fmt.Sprintf("%s/%d", key, i), "", "", "", "the row is missing: the signed step has the operation %s", texts[i])
			continue
		}
		v.operation(ops[at], op, s.Container, containerKey, told.brought)
	}
	for _, o := range ops {
		if o.Place < 0 || o.Place >= int64(len(s.step.ops)) {
			v.find("step_ops", opKey(o), "", "", "", "the signed step has no such operation")
		}
	}
	if known {
		v.same("events", told.event, "details", told.ops, strings.Join(texts, "; "), "the signed step %s", key)
		v.same("events", told.event, "details", told.lock, []string{"", "lock", "unlock"}[s.step.lock], "the signed step %s", key)
		v.same("events", told.event, "time", moment(told.time), moment(s.step.time), "the signed step %s", key)
	}
}

// life checks the life hash of a step: that which a report has proven.
func (v *run) life(s signed, k known, key string) {
	want, proven := k.lives[s.Number]
	switch {
	case proven:
		v.same("steps", key, "life", s.Life, want, "the report that confirmed it")
	case s.Life != nil:
		v.find("steps", key, "life", show(s.Life), "", "no report has proven it")
	}
}

// operation holds the row of an operation against the signed one.
func (v *run) operation(o store.RawOp, want operation, serial string, containerKey []byte, brought bool) {
	key := opKey(o)
	const signedStep = "the signed step"
	v.same("step_ops", key, "kind", kindText(o.Kind), kindText(want.kind), signedStep)
	v.same("step_ops", key, "phase", o.Phase, want.phase, signedStep)
	v.same("step_ops", key, "license", o.License, want.license, signedStep)
	v.same("step_ops", key, "generation", o.Generation, want.generation, signedStep)
	v.same("step_ops", key, "product", o.Product, want.product, signedStep)
	if want.kind != 1 {
		if o.Body != nil || !bytes.Equal(want.body, make([]byte, sha256.Size)) {
			v.find("step_ops", key, "body", show(o.Body), "", "an operation that puts nothing has no body")
		}
		return
	}
	if brought && o.Body == nil {
		return // the container did not have it any more
	}
	hash := sha256.Sum256(o.Body)
	if !v.same("step_ops", key, "body", "hash "+hex.EncodeToString(hash[:]), "hash "+hex.EncodeToString(want.body), "the hash in the signed step") {
		return
	}
	b, err := parseBody(o.Body)
	if err != nil {
		v.find("step_ops", key, "body", "", "", "it is no license: %v", err)
		return
	}
	const put = "the step that puts it"
	v.same("step_ops", key, "body", b.license, want.license, put)
	v.same("step_ops", key, "body", b.generation, want.generation, put)
	v.same("step_ops", key, "body", b.product, want.product, put)
	v.same("step_ops", key, "body", b.container, serial, put)
	if containerKey != nil {
		v.same("step_ops", key, "body", b.containerKey, containerKey, "the signing key of the container")
	}
}

// proven checks the signed reports that are kept: the proofs of flags, and the
// requests with their answers.
func (v *run) proven() error {
	proofs := &pages[store.RawProof]{load: func(last store.RawProof) ([]store.RawProof, error) { return v.tx.RawProofs(last.ID, 100) }}
	for p := proofs.next(); p != nil; p = proofs.next() {
		v.read("proofs")
		want, ok := v.proofs[p.ID]
		if delete(v.proofs, p.ID); !ok {
			v.find("proofs", p.ID, "", "", "", "no event names it as the proof of a flag")
			continue
		}
		v.same("proofs", p.ID, "container", p.Container, want.container, "the event that names it")
		v.same("proofs", p.ID, "time", moment(p.Time), moment(want.time), "the event that names it")
		if _, why := v.reportOf(p.Report, want.container); why != "" {
			v.find("proofs", p.ID, "report", "", "", "%s", why)
		}
	}
	if proofs.err != nil {
		return proofs.err
	}
	for id, p := range v.proofs {
		v.find("proofs", id, "", "", "", "the row is missing: it is the proof by which container %s was flagged", p.container)
	}
	return v.answers()
}

// answered is an answer after its signatures were looked at.
type answered struct {
	store.RawAnswer
	hash           [32]byte // of the report
	key            [16]byte // that signed the answer
	report, answer string   // why they do not prove, "" if they do
}

func (v *run) answers() error {
	rows := &pages[answered]{load: func(last answered) ([]answered, error) {
		raw, err := v.tx.RawAnswers(last.Container, last.Nonce, 200)
		out := make([]answered, len(raw))
		for i := range raw {
			out[i].RawAnswer = raw[i]
		}
		return out, err
	}, ready: func(page []answered) { parallel(page, v.verifyAnswer) }}
	for a := rows.next(); a != nil; a = rows.next() {
		v.read("answers")
		key := a.Container + "/" + hex.EncodeToString(a.Nonce)
		if a.report != "" {
			v.find("answers", key, "report", "", "", "%s", a.report)
		} else {
			v.same("answers", key, "hash", a.Hash, a.hash[:], "the report beside it")
		}
		if a.answer != "" {
			v.find("answers", key, "answer", "", "", "%s", a.answer)
		} else {
			v.made[a.key]++
		}
	}
	return rows.err
}

func (v *run) verifyAnswer(a *answered) {
	raw, why := v.reportOf(a.Report, a.Container)
	a.hash, a.report = sha256.Sum256(raw), why
	_, raw, err := unarmor(a.Answer)
	d, err2 := parseDocument(raw)
	if cmp.Or(err, err2) != nil {
		a.answer = "it is no signed update"
	} else {
		a.key, a.answer = d.key, v.issuedBy(d, "update", a.Time)
	}
}

// reportOf checks that a container signed a report, and gives the signed bytes.
func (v *run) reportOf(file []byte, serial string) (raw []byte, why string) {
	label, raw, err := unarmor(file)
	if err != nil {
		return nil, "it is no report"
	}
	d, err := parseDocument(raw)
	if err != nil {
		return nil, "it is no report"
	}
	outer, err := readCBOR(d.payload)
	list, _ := outer.([]any)
	if err != nil || len(list) != 3 {
		return nil, "it is no report"
	}
	head, _ := list[0].([]byte)
	h, err := readMap(head)
	if err != nil {
		return nil, "it is no report"
	}
	who, _ := h.get(uint64(8)).(cborMap)
	switch {
	case h.text(6) != serial || serialName(who.bytes(1), who.bytes(2)) != serial:
		return nil, "it is the report of another container"
	case !d.signedBy(who.bytes(1), strings.ToLower(label), v.scope):
		return nil, "its signature is not that of the container"
	}
	return raw, ""
}
