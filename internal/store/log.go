package store

import (
	"encoding/json"

	"licet/container"
	"licet/license"
)

// Container is the record of one container's log.
type Container struct {
	Serial     license.Serial
	Identity   container.Identity
	Binding    string
	Issued     uint64
	IssuedPlan container.Hash
	Acked      uint64
	AckedLife  container.Hash
	Challenge  []byte
	Flag       Flag
	FirstSeen  license.Time
	LastSeen   license.Time
	Earmarks   int64 // orders of the vendor that wait or are under way
	Closed     bool  // by the last step issued
	Blocked    Blocked
	Hardware   []byte           // digests of 8 bytes each of the traits that survive a new installation
	Lent       []container.Lent // seats of its licenses that are out, by its latest report

	// Restated is the number of the trust bundle such that what the container has, or
	// is to get, counts with all keys revoked by then; see Vendor.Revoked.
	Restated uint64
	Keys     uint64 // version of the vendor's keys as the container was locked; see Vendor
	Epoch    uint64 // that it is known to know (docs/protocol.md R19)
	Record   uint64 // the epoch of the record itself; set by LockContainer
}

// Blocked says that the vendor has blocked a container, and why. The zero value
// means that it is not.
type Blocked struct {
	Reason string
	Time   license.Time
}

// Flag says why a container contradicts the record and where it stands. The
// zero value means that it does not.
type Flag struct {
	Reason     string
	Time       license.Time
	Number     uint64
	Life       container.Hash
	Acceptable bool
}

const (
	containerColumns  = `select serial, kind, signing_key, sealing_key, binding, issued, issued_plan, acked, acked_life, challenge, flag_reason, flag_time, flag_number, flag_life, flag_acceptable, first_seen, last_seen, earmarks, closed, block_reason, block_time, hardware, lent, restated, epoch from containers `
	containerInsert   = `insert into containers (serial, kind, signing_key, sealing_key, binding, issued, issued_plan, acked, acked_life, first_seen, last_seen, hardware, restated, epoch) values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $9, $10, $11, $12)`
	containerLock     = `update containers set version = version + 1 where serial = $1 returning serial, kind, signing_key, sealing_key, binding, issued, issued_plan, acked, acked_life, challenge, flag_reason, flag_time, flag_number, flag_life, flag_acceptable, first_seen, last_seen, earmarks, closed, block_reason, block_time, hardware, lent, restated, epoch, (select keys from vendor), (select epoch from vendor)`
	containerAlone    = `select serial, kind, signing_key, sealing_key, binding, issued, issued_plan, acked, acked_life, challenge, flag_reason, flag_time, flag_number, flag_life, flag_acceptable, first_seen, last_seen, earmarks, closed, block_reason, block_time, hardware, lent, restated, epoch, (select keys from vendor), (select epoch from vendor) from containers where serial = $1`
	containerUpdate   = `update containers set binding = $2, issued = $3, issued_plan = $4, acked = $5, acked_life = $6, challenge = $7, flag_reason = $8, flag_time = $9, flag_number = $10, flag_life = $11, flag_acceptable = $12, last_seen = $13, closed = $14, block_reason = $15, block_time = $16, hardware = $17, lent = $18, restated = $19, epoch = $20 where serial = $1`
	containerBySerial = containerColumns + `where serial = $1`
	containersBehind  = `select count(*) from containers where restated < $1`
	containersPage    = containerColumns + `where serial > $1 order by serial limit $2`
)

func scanContainer(scan func(...any) error) (Container, error) { return scanContainerAnd(scan) }

// scanContainerAnd scans a container and the columns behind it.
func scanContainerAnd(scan func(...any) error, behind ...any) (Container, error) {
	var c Container
	var plan, life, flagLife []byte
	var acceptable, closed int64
	var lent string
	err := scan(append([]any{&c.Serial, &c.Identity.Kind, &c.Identity.SigningKey, &c.Identity.SealingKey, &c.Binding,
		&c.Issued, &plan, &c.Acked, &life, &c.Challenge,
		&c.Flag.Reason, &c.Flag.Time, &c.Flag.Number, &flagLife, &acceptable, &c.FirstSeen, &c.LastSeen,
		&c.Earmarks, &closed, &c.Blocked.Reason, &c.Blocked.Time, &c.Hardware, &lent, &c.Restated, &c.Epoch}, behind...)...)
	if err == nil {
		c.Lent, err = readLent(lent)
	}
	copy(c.IssuedPlan[:], plan)
	copy(c.AckedLife[:], life)
	copy(c.Flag.Life[:], flagLife)
	c.Flag.Acceptable, c.Closed = acceptable != 0, closed != 0
	return c, err
}

// readLent reads what a container's latest report said of its seats.
func readLent(text string) (lent []container.Lent, err error) {
	if text == "" {
		return nil, nil
	}
	return lent, json.Unmarshal([]byte(text), &lent)
}

// InsertContainer registers a container with its first step.
func (tx *Tx) InsertContainer(c Container) error {
	return tx.later(containerInsert, 1, c.Serial, c.Identity.Kind, c.Identity.SigningKey, c.Identity.SealingKey, c.Binding, c.Issued, c.IssuedPlan[:], c.AckedLife[:], c.FirstSeen, c.Hardware, c.Restated, c.Epoch)
}

// LockContainer locks a container until the transaction ends and gives it as it
// is then; ErrNotFound if it is not registered.
func (tx *Tx) LockContainer(serial license.Serial) (Container, error) {
	var keys, record uint64
	c, err := scanContainerAnd(tx.lock(containerLock, containerAlone, serial).Scan, &keys, &record)
	c.Keys, c.Record = keys, record
	return c, err
}

// UpdateContainer stores everything of a container that can change.
func (tx *Tx) UpdateContainer(c Container) error {
	var flagLife []byte
	if c.Flag.Reason != "" {
		flagLife = c.Flag.Life[:]
	}
	lent := ""
	if len(c.Lent) > 0 {
		b, err := json.Marshal(c.Lent)
		if err != nil {
			return err
		}
		lent = string(b)
	}
	return tx.later(containerUpdate, 1, c.Serial, c.Binding, c.Issued, c.IssuedPlan[:], c.Acked, c.AckedLife[:], c.Challenge,
		c.Flag.Reason, c.Flag.Time, c.Flag.Number, flagLife, number(c.Flag.Acceptable), c.LastSeen,
		number(c.Closed), c.Blocked.Reason, c.Blocked.Time, c.Hardware, lent, c.Restated, c.Epoch)
}

// number is a truth value as a column holds it.
func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Container finds a container.
func (tx *Tx) Container(serial license.Serial) (Container, error) {
	return scanContainer(tx.QueryRow(containerBySerial, serial).Scan)
}

// ContainersBehind counts the containers that have, or may have, something under a key
// that a trust bundle up to this one revokes.
func (tx *Tx) ContainersBehind(bundle uint64) (n int64, err error) {
	return n, tx.QueryRow(containersBehind, bundle).Scan(&n)
}

// Containers returns a page of containers after a serial.
func (tx *Tx) Containers(after string, limit int) ([]Container, error) {
	return collect(tx, scanContainer, containersPage, after, limit)
}

// Step is one step of a container's log with its operations and bodies.
type Step struct {
	Number uint64
	Signed []byte
	Plan   container.Hash // after the step
	Life   []byte         // proven by a report; nil before
	Time   license.Time
	Epoch  uint64
	Ops    []StepOp
}

// StepOp is one operation and, for a put, the license body it brings.
type StepOp struct {
	container.Op
	Bytes []byte
}

const (
	stepInsert    = `insert into steps (container, number, signed, plan, time, epoch) select $1, $2, $3, $4, $5, $6 from vendor where epoch = $6 and outdated = '' and keys = $7`
	stepBrought   = `insert into steps (container, number, signed, plan, time, epoch) values ($1, $2, $3, $4, $5, $6)`
	stepOpInsert  = `insert into step_ops (container, number, place, kind, phase, license, generation, product, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	stepsAfter    = `select number, signed, plan, life, time, epoch from steps where container = $1 and number > $2 order by number`
	stepOpsAfter  = `select number, kind, phase, license, generation, product, body from step_ops where container = $1 and number > $2 order by number, place`
	stepPoint     = `select plan, life from steps where container = $1 and number = $2`
	stepLife      = `update steps set life = $3 where container = $1 and number = $2`
	stepsUnproven = `update steps set life = null where container = $1 and number > $2`
	licenseStep   = `select s.signed from step_ops o join steps s on s.container = o.container and s.number = o.number where o.container = $1 and o.license = $2 and o.kind = 1 order by o.number desc limit 1`
	opsOfLicense  = `select kind, phase, generation from step_ops where license = $2 and container = $1 order by number, place`
	licenseFirst  = `select body from step_ops where container = $1 and license = $2 and generation = $3 and kind = 1 and number > (select coalesce(max(number), 0) from step_ops where container = $1 and license = $2 and generation = $3 and kind = 2) order by number limit 1`
	licenseBody   = `select body from step_ops where container = $1 and license = $2 and kind = 1 order by number desc limit 1`
)

// InsertStep appends a step that was signed now to a container's log, if the keys
// were not changed since their version given, the epoch is the record's, and the
// record is not known to be outdated; otherwise the transaction fails with ErrMissed.
// A second step of one number is refused by the database.
func (tx *Tx) InsertStep(serial license.Serial, s Step, keys uint64) error {
	return tx.insertStep(stepInsert, serial, s, keys)
}

// InsertBrought appends a step that the record had lost.
func (tx *Tx) InsertBrought(serial license.Serial, s Step) error {
	return tx.insertStep(stepBrought, serial, s)
}

func (tx *Tx) insertStep(query string, serial license.Serial, s Step, more ...any) error {
	if err := tx.later(query, 1, append([]any{serial, s.Number, s.Signed, s.Plan[:], s.Time, s.Epoch}, more...)...); err != nil {
		return err
	}
	for i, op := range s.Ops {
		if err := tx.InsertStepOp(serial, s.Number, i, op); err != nil {
			return err
		}
	}
	return nil
}

// InsertStepOp stores one operation of a step.
func (tx *Tx) InsertStepOp(serial license.Serial, number uint64, place int, op StepOp) error {
	return tx.later(stepOpInsert, 1, serial, number, place, op.Kind, op.Phase, op.License, op.Generation, op.Product, op.Bytes)
}

// StepsAfter returns the steps of a container above a number, with operations.
func (tx *Tx) StepsAfter(serial license.Serial, number uint64) ([]Step, error) {
	steps, err := collect(tx, func(scan func(...any) error) (s Step, err error) {
		var plan []byte
		err = scan(&s.Number, &s.Signed, &plan, &s.Life, &s.Time, &s.Epoch)
		copy(s.Plan[:], plan)
		return s, err
	}, stepsAfter, serial, number)
	if err != nil || len(steps) == 0 {
		return steps, err
	}
	type numbered struct {
		number uint64
		op     StepOp
	}
	ops, err := collect(tx, func(scan func(...any) error) (n numbered, err error) {
		return n, scan(&n.number, &n.op.Kind, &n.op.Phase, &n.op.License, &n.op.Generation, &n.op.Product, &n.op.Bytes)
	}, stepOpsAfter, serial, number)
	for _, n := range ops {
		s := &steps[n.number-steps[0].Number]
		s.Ops = append(s.Ops, n.op)
	}
	return steps, err
}

// OpsOf returns what a container's log says of a license, oldest first: of each
// operation its kind, phase and generation.
func (tx *Tx) OpsOf(serial license.Serial, id license.ID) ([]container.Op, error) {
	return collect(tx, func(scan func(...any) error) (o container.Op, err error) {
		return o, scan(&o.Kind, &o.Phase, &o.Generation)
	}, opsOfLicense, serial, id)
}

// Point returns the plan hash after a step and the life hash proven for it, nil
// if none is. Step 0 is the container's beginning.
func (tx *Tx) Point(serial license.Serial, number uint64) (plan container.Hash, life []byte, err error) {
	if number == 0 {
		start := container.LifeStart(serial)
		return container.PlanStart(serial), start[:], nil
	}
	var p []byte
	err = tx.QueryRow(stepPoint, serial, number).Scan(&p, &life)
	copy(plan[:], p)
	return plan, life, err
}

// ProveLife stores the life hash that a report has proven for a step.
func (tx *Tx) ProveLife(serial license.Serial, number uint64, life container.Hash) error {
	return tx.later(stepLife, 1, serial, number, life[:])
}

// ForgetLives forgets what was proven of the steps above a number.
func (tx *Tx) ForgetLives(serial license.Serial, number uint64) error {
	_, err := tx.Exec(stepsUnproven, serial, number)
	return err
}

// Body returns the newest body of a license that a container was given.
func (tx *Tx) Body(serial license.Serial, id license.ID) (body []byte, err error) {
	return body, tx.QueryRow(licenseBody, serial, id).Scan(&body)
}

// StepOf returns the signed step that put a license into a container last.
func (tx *Tx) StepOf(serial license.Serial, id license.ID) (signed []byte, err error) {
	return signed, tx.QueryRow(licenseStep, serial, id).Scan(&signed)
}

// FirstBody returns the body with which a container last got a license that it did
// not have before.
func (tx *Tx) FirstBody(serial license.Serial, id license.ID, g license.Generation) (body []byte, err error) {
	return body, tx.QueryRow(licenseFirst, serial, id, g).Scan(&body)
}

// Answer is a report that caused a step, and what it was answered.
type Answer struct {
	Container license.Serial
	Nonce     container.Nonce
	Report    []byte
	Hash      []byte
	Issued    uint64 // the container's last step when it was answered
	Answer    []byte
	Time      license.Time
}

const (
	answerInsert = `insert into answers (container, nonce, report, hash, issued, answer, time) values ($1, $2, $3, $4, $5, $6, $7)`
	answerAgain  = `update answers set issued = $3, answer = $4, time = $5 where container = $1 and nonce = $2`
	answerSelect = `select report, hash, issued, answer, time from answers where container = $1 and nonce = $2`
	proofInsert  = `insert into proofs (id, container, report, time) values ($1, $2, $3, $4)`
)

// InsertAnswer keeps an answer.
func (tx *Tx) InsertAnswer(a Answer) error {
	return tx.later(answerInsert, 1, a.Container, a.Nonce[:], a.Report, a.Hash, a.Issued, a.Answer, a.Time)
}

// ReplaceAnswer keeps a later answer to the same report: the vendor had ordered
// something since.
func (tx *Tx) ReplaceAnswer(a Answer) error {
	return tx.later(answerAgain, 1, a.Container, a.Nonce[:], a.Issued, a.Answer, a.Time)
}

// Answer finds the answer to a report's nonce.
func (tx *Tx) Answer(serial license.Serial, nonce container.Nonce) (Answer, error) {
	a := Answer{Container: serial, Nonce: nonce}
	err := tx.QueryRow(answerSelect, serial, nonce[:]).Scan(&a.Report, &a.Hash, &a.Issued, &a.Answer, &a.Time)
	return a, err
}

// InsertProof keeps a signed report that proves a contradiction.
func (tx *Tx) InsertProof(id string, serial license.Serial, report []byte, now license.Time) error {
	_, err := tx.Exec(proofInsert, id, serial, report, now)
	return err
}
