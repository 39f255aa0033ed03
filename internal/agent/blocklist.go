package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"licet/blocklist"
	"licet/container"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// A vendor's block list is kept in blocklists/VENDOR.blocks:
//
//	licetbl1             8 bytes
//	1 if the next news must bring the whole list, else 0
//	length of the head   2 bytes, big-endian
//	head                 signed by the vendor, with the hash of the entries
//	entries              8 bytes each, big-endian, rising
//
// so that a check finds an entry without reading them all. It is trusted as the
// folder is: whoever removes or alters it gains that the news are not heard.
// Only what would take a block off that a program brings along is proven anew.
const (
	blocksSuffix = ".blocks"
	blocksMagic  = "licetbl1"
	blocksHead   = len(blocksMagic) + 3
	blockSize    = 8
)

var errDamagedBlocks = errors.New("agent: the block list is damaged")

// keptBlocks is a block list in its file, open for reading.
type keptBlocks struct {
	seal.BlockList
	file  *os.File
	head  []byte
	at    int64 // where the entries begin
	whole bool  // the next news must bring the whole list
}

func (h home) blocklists() string { return h.path("blocklists") }

// keptBlocks opens the block list of a scope, nil if there is none. One that is
// damaged, or of another environment, is none: to refuse every license because of
// it would keep honest users from working and nobody else, and the next contact
// replaces it.
func (a *Agent) keptBlocks(s seal.Scope) (*keptBlocks, error) {
	k, err := a.home.openBlocks(string(s.Vendor))
	switch {
	case missing(err):
		return nil, nil
	case errors.Is(err, errDamagedBlocks), errors.Is(err, durable.ErrNotRegular):
		a.cfg.Log.Warn("block list left out", "vendor", s.Vendor, "error", err)
		return nil, nil
	case err != nil:
		return nil, storage(err)
	case k.Scope != s:
		k.Close()
		return nil, nil
	}
	return k, nil
}

func (h home) openBlocks(vendor string) (_ *keptBlocks, err error) {
	if !isVendor(vendor) {
		return nil, os.ErrNotExist
	}
	dir, err := os.OpenRoot(h.blocklists())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := vendor + blocksSuffix
	info, err := dir.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, durable.ErrNotRegular
	}
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	k, err := readBlocksHead(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return k, nil
}

// readBlocksHead reads everything but the entries.
func readBlocksHead(file *os.File) (*keptBlocks, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	start := make([]byte, min(info.Size(), int64(blocksHead+seal.MaxBlockHead)))
	if _, err := file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(start) < blocksHead || string(start[:len(blocksMagic)]) != blocksMagic || start[len(blocksMagic)] > 1 {
		return nil, errDamagedBlocks
	}
	end := blocksHead + int(binary.BigEndian.Uint16(start[len(blocksMagic)+1:]))
	if end > len(start) {
		return nil, errDamagedBlocks
	}
	k := &keptBlocks{file: file, whole: start[len(blocksMagic)] == 1, head: start[blocksHead:end], at: int64(end)}
	if k.BlockList, err = seal.PeekBlockHead(k.head); err != nil || info.Size() != k.at+int64(k.Count)*blockSize {
		return nil, errDamagedBlocks
	}
	return k, nil
}

// Close closes the file; nil has none.
func (k *keptBlocks) Close() {
	if k != nil {
		k.file.Close()
	}
}

// has looks for one entry in the file.
func (k *keptBlocks) has(e blocklist.Entry) (found bool, err error) {
	var room [blockSize]byte
	n := int(k.Count)
	sort.Search(n, func(i int) bool {
		if err != nil {
			return true
		}
		if _, err = k.file.ReadAt(room[:], k.at+int64(i)*blockSize); err != nil {
			return true
		}
		got := blocklist.Entry(binary.BigEndian.Uint64(room[:]))
		found = found || got == e
		return got >= e
	})
	return found, err
}

// load reads the whole list, and makes sure that it is the one of its head.
func (k *keptBlocks) load() (blocklist.List, error) {
	raw := make([]byte, k.Count*blockSize)
	if _, err := k.file.ReadAt(raw, k.at); err != nil && (!errors.Is(err, io.EOF) || len(raw) > 0) {
		return blocklist.List{}, err
	}
	entries := make([]blocklist.Entry, k.Count)
	for i := range entries {
		entries[i] = blocklist.Entry(binary.BigEndian.Uint64(raw[i*blockSize:]))
	}
	list, err := blocklist.New(k.Number, entries)
	if err != nil || list.Sum() != k.Sum {
		return blocklist.List{}, errDamagedBlocks
	}
	return list, nil
}

// dropBlocks removes a vendor's list that was signed with a key which a trust bundle
// revokes. It may be anybody's; the next contact brings the vendor's.
func (a *Agent) dropBlocks(t *seal.Trust) error {
	kept, err := a.keptBlocks(t.Scope)
	if err != nil || kept == nil {
		return err
	}
	defer kept.Close()
	signer, _ := seal.SignerOf(kept.head)
	if !slices.ContainsFunc(t.Revoked, func(r seal.Revoked) bool { return r.Key == signer }) {
		return nil
	}
	dir, err := os.OpenRoot(a.home.blocklists())
	if err != nil {
		return err
	}
	defer dir.Close()
	return a.cfg.Disk.Remove(dir, string(t.Scope.Vendor)+blocksSuffix)
}

// revoked reports whether the list was signed with a key that is revoked since. Then
// it may be anybody's, with any number, and the vendor's takes its place.
func (k *keptBlocks) revoked(v *seal.Verifier) bool {
	_, err := v.BlockHead(k.head)
	return refusal.Is(err, refusal.KeyRevoked)
}

// keepBlocks writes a vendor's list.
func (a *Agent) keepBlocks(vendor string, head []byte, list blocklist.List, whole bool) error {
	data := make([]byte, 0, blocksHead+len(head)+list.Len()*blockSize)
	data = append(data, blocksMagic...)
	data = append(data, 0)
	if whole {
		data[len(data)-1] = 1
	}
	data = binary.BigEndian.AppendUint16(data, uint16(len(head)))
	data = append(data, head...)
	for _, e := range list.Entries() {
		data = binary.BigEndian.AppendUint64(data, uint64(e))
	}
	if err := a.cfg.Disk.MkdirAll(a.home.blocklists(), durable.PrivateDir); err != nil {
		return err
	}
	return a.cfg.Disk.WritePath(filepath.Join(a.home.blocklists(), vendor+blocksSuffix), data, durable.PrivateFile)
}

// applyNews takes in signed news of a vendor's block list. What is refused leaves
// the list that is kept as it was.
func (a *Agent) applyNews(v vendor, signed []byte) (blocklist.List, error) {
	verifier, err := v.verifier(nil)
	if err != nil {
		return blocklist.List{}, err
	}
	news, err := verifier.OpenBlockNews(signed)
	if err != nil {
		return blocklist.List{}, err
	}
	kept, err := a.keptBlocks(v.scope())
	if err != nil {
		return blocklist.List{}, err
	}
	defer kept.Close()
	var list blocklist.List
	if kept != nil && !kept.revoked(verifier) {
		if list, err = kept.load(); errors.Is(err, errDamagedBlocks) {
			a.cfg.Log.Warn("block list begun anew", "vendor", v.id(), "error", err)
		} else if err != nil {
			return blocklist.List{}, err
		}
	}
	next, err := list.Apply(news.News)
	if refusal.Is(err, refusal.BlockListGap) && news.From == list.Number() {
		// The vendor has another list of this number, as after a return from an old
		// back-up. Only the whole list helps.
		if err := a.keepBlocks(v.id(), kept.head, list, true); err != nil {
			return blocklist.List{}, err
		}
	}
	if err != nil {
		return blocklist.List{}, err
	}
	return next, a.keepBlocks(v.id(), news.Head, next, false)
}

// hear takes in the news that came with an update. That they do not fit is no
// fault of the update, whose steps count: fetchNews asks for the whole list, or
// the next contact brings it.
func (a *Agent) hear(v vendor, update container.Update) {
	if len(update.News) == 0 {
		return
	}
	if _, err := a.applyNews(v, update.News); err != nil && !refusal.Is(err, refusal.AlreadyApplied) {
		a.cfg.Log.Warn("news of the block list left out", "vendor", v.id(), "number", update.List, "error", err)
	}
}

// fetchNews asks for news that were too large to travel with an update, or that
// came with it and did not fit. That they do not arrive is no failure: the next
// contact asks again.
func (a *Agent) fetchNews(ctx context.Context, b *box, v vendor, base string) {
	if b.list == 0 {
		return
	}
	from := a.listNumber(v)
	if b.list <= from {
		return
	}
	file, err := a.central().BlockList(ctx, base, from)
	if err == nil && file != nil {
		_, err = a.importNews(v, file)
	}
	if err != nil {
		a.cfg.Log.Info("news of the block list wait for the next contact", "vendor", v.id(), "number", b.list, "error", err)
	}
}

// listNumber is the number of the block list that news for this machine are to
// continue; 0 asks for the whole list.
func (a *Agent) listNumber(v vendor) uint64 {
	kept, err := a.keptBlocks(v.scope())
	if err != nil || kept == nil {
		return 0 // a whole list too many does no harm
	}
	defer kept.Close()
	list, err := kept.load()
	if err != nil || kept.whole {
		return 0
	}
	if verifier, err := v.verifier(nil); err != nil || kept.revoked(verifier) {
		return 0
	}
	return list.Number()
}

// importNews takes in a file with news of the block list.
func (a *Agent) importNews(v vendor, file []byte) (wire.Programming, error) {
	signed, err := seal.DearmorBlockNews(file)
	if err != nil {
		return wire.Programming{}, err
	}
	result := wire.Programming{Applied: []container.Change{}}
	list, err := a.applyNews(v, signed)
	r, _ := refusal.As(err)
	switch {
	case err == nil:
		r = refusal.New(refusal.Done, "The block list %d of %s counts here now: %s.", list.Number(), v.name(), count(list.Len(), "block"))
	case r == nil || r.Code != refusal.AlreadyApplied:
		return wire.Programming{}, err
	}
	result.Outcomes = []container.Outcome{{Wish: "import", Code: r.Code, Message: r.Message}}
	return result, nil
}

// Blocks are the block list that a program brings along, and how it finds out
// whether the vendor signed a newer one. The zero value brings nothing.
type Blocks struct {
	List blocklist.List
	Head func([]byte) (seal.BlockList, error)
}

// blocks answers whether something is blocked, while one question is worked on.
type blocks struct {
	agent   *Agent
	brought Blocks
	kept    map[seal.Scope]*keptBlocks
}

func (a *Agent) blocks(brought Blocks) *blocks {
	return &blocks{agent: a, brought: brought, kept: map[seal.Scope]*keptBlocks{}}
}

func (b *blocks) Close() {
	for _, k := range b.kept {
		k.Close()
	}
}

// has reports whether an entry is on the list of this machine, or on the one
// that a program brought. A newer list of the machine takes an entry of the
// program's off, if it proves to be the vendor's; the program's takes nothing off.
func (b *blocks) has(s seal.Scope, e blocklist.Entry) (bool, error) {
	kept, known := b.kept[s]
	if !known {
		var err error
		if kept, err = b.agent.keptBlocks(s); err != nil {
			return false, err
		}
		b.kept[s] = kept
	}
	if kept != nil {
		if found, err := kept.has(e); found || err != nil {
			return found, storage(err)
		}
	}
	if !b.brought.List.Has(e) {
		return false, nil
	}
	if kept == nil || kept.Number <= b.brought.List.Number() {
		return true, nil
	}
	if _, err := b.brought.Head(kept.head); err != nil {
		return true, nil // nothing lifts it
	}
	newer, err := kept.load()
	if err != nil {
		return true, nil // nothing lifts it
	}
	return newer.Has(e), nil
}

// stop says why a license in a container may not be used, whatever its terms,
// or nil.
func (b *blocks) stop(s seal.Scope, serial license.Serial, id license.ID, generation license.Generation) (*refusal.Refusal, error) {
	found, err := b.has(s, blocklist.Container(serial))
	if err != nil {
		return nil, err
	}
	if found {
		return blockedContainer(serial), nil
	}
	if found, err = b.has(s, blocklist.License(id, generation)); !found || err != nil {
		return nil, err
	}
	return refusal.New(refusal.LicenseWithdrawn, "The vendor has blocked this copy of the license %s: it was reported lost and replaced, or withdrawn.", id).
		Hinted("Use the machine on which the license was activated since, or ask the vendor.").
		With("license", string(id)).With("container", string(serial)), nil
}

func blockedContainer(serial license.Serial) *refusal.Refusal {
	return refusal.New(refusal.ContainerBlocked, "The vendor has blocked container %s: nothing in it may be used.", serial).
		Hinted("Ask the vendor. Where the block is lifted already, run licet update.").With("container", string(serial))
}

// Blocked says why a license that was proven may not be used all the same, or
// nil. The holder is the container that has it, which is not the license's where it
// is lent.
func (a *Agent) Blocked(s seal.Scope, body container.Body, brought Blocks, holder license.Serial) (*refusal.Refusal, error) {
	b := a.blocks(brought)
	defer b.Close()
	if holder != body.Container {
		if found, err := b.has(s, blocklist.Container(holder)); found || err != nil {
			return blockedContainer(holder), err
		}
	}
	return b.stop(s, body.Container, body.License, body.Generation)
}

// container reports whether a container is blocked, by the list or by a step.
func (b *blocks) container(of *box) (bool, error) {
	if of.State.Locked {
		return true, nil
	}
	return b.has(of.scope(), blocklist.Container(of.serial()))
}

// block refuses a license that is blocked, before anything else is said of it.
func (c *candidate) block(by *blocks) error {
	if c.box.State.Locked {
		c.no = blockedContainer(c.box.serial())
		return nil
	}
	serial, generation := c.box.serial(), c.box.State.Held[c.id].Generation
	if c.loan != nil {
		// The container that has the loan counts, and so does the license it is of.
		if found, err := by.has(c.box.scope(), blocklist.Container(serial)); found || err != nil {
			c.no = blockedContainer(serial)
			return err
		}
		serial, generation = c.lender, c.generation
	}
	no, err := by.stop(c.box.scope(), serial, c.id, generation)
	if no != nil {
		c.no = no
	}
	return err
}
