package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"licet/internal/journal"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// useJournal has the database kept in the second journal, if the record has one.
func (r *Registry) useJournal(ctx context.Context) error {
	var j *journal.Journal
	if r.cfg.Journal != "" {
		j = r.newJournal()
	}
	err := r.cfg.DB.UseJournal(ctx, j)
	switch {
	case errors.Is(err, store.ErrNoJournal) && j == nil:
		return refusal.New(refusal.JournalUnavailable, "The record has a second journal, and its place was not named. Nothing was changed.").
			Hinted("Name the folder with --journal, or, for a server that had none yet, run licet-central journal begin; journal end ends it for all.")
	case errors.Is(err, store.ErrNoJournal):
		return refusal.New(refusal.JournalUnavailable, "The record has no second journal; %s was named as its place. Nothing was changed.", r.cfg.Journal).
			Hinted("licet-central journal begin makes one.")
	}
	return r.journalFault(err)
}

func (r *Registry) newJournal() *journal.Journal {
	return journal.New(journal.Config{Path: r.cfg.Journal, Vault: r.keys().vault, Vendor: r.keys().vendor.ID, Program: "licet-central",
		Now: r.cfg.Now, Random: r.cfg.Random, Disk: r.cfg.JournalDisk})
}

// journalFault makes a refusal of a journal that cannot be written. Nothing is issued
// until it can (docs/protocol.md R2).
func (r *Registry) journalFault(err error) error {
	if !errors.Is(err, store.ErrJournal) && !errors.Is(err, store.ErrNoJournal) {
		return err
	}
	if r.cfg.Log != nil {
		r.cfg.Log.Error("the second journal cannot be written: nothing is issued, and nothing is changed", "place", r.cfg.Journal, "fault", err)
	}
	return refusal.New(refusal.JournalUnavailable, "The server cannot write its second journal, and without it nothing leaves. Nothing was changed.")
}

// JournalStatus is what is known of the second journal.
type JournalStatus struct {
	On     bool         `json:"on"` // the record has one
	Place  string       `json:"place,omitempty"`
	Frames int64        `json:"frames,omitempty"` // since it began
	Last   license.Time `json:"last,omitzero"`    // when this server wrote to it
	Fault  string       `json:"fault,omitempty"`  // why it cannot be written
}

// JournalStatus says whether the record has a second journal, and whether it can be
// written.
func (r *Registry) JournalStatus(ctx context.Context) (out JournalStatus, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		out, err = r.journalStatus(tx)
		return err
	})
	return out, err
}

func (r *Registry) journalStatus(tx *store.Tx) (out JournalStatus, err error) {
	row, err := tx.Journal()
	if errors.Is(err, store.ErrNotFound) || err == nil && row.Ended {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out = JournalStatus{On: true, Place: r.cfg.Journal, Frames: row.Number}
	if j := r.cfg.DB.Journal(); j != nil {
		var failed error
		if out.Last, failed = j.State(); failed != nil {
			out.Fault = failed.Error()
		}
	} else if r.cfg.Journal != "" { // opened for reading alone
		if err := r.newJournal().Begin(row.Chain, row.Follows, 0); err != nil {
			out.Fault = err.Error()
		}
	}
	return out, nil
}

// JournalFault is why the second journal could not be written when it was last tried;
// nil if it could, and where there is none.
func (r *Registry) JournalFault() error {
	j := r.cfg.DB.Journal()
	if j == nil {
		return nil
	}
	_, fault := j.State()
	return fault
}

// BeginJournal gives the record a second journal at cfg.Journal, or, if it has one,
// makes that a place of it for this server. The registry is not open then: no server
// may run on the record without it.
func BeginJournal(ctx context.Context, cfg Config, a Actor) (began bool, err error) {
	r := &Registry{cfg: cfg}
	if err := r.loadKeys(ctx); err != nil {
		return false, err
	}
	if err := journal.Prepare(cfg.Journal, r.keys().vendor.ID, cfg.JournalDisk); err != nil {
		return false, placeFault(cfg.Journal, err)
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		if began, err = false, tx.TouchVendor(); err != nil {
			return err
		}
		row, err := tx.Journal()
		switch {
		case err == nil && !row.Ended:
			return nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		began = true
		if err := tx.BeginJournal(r.newChain(), ""); err != nil {
			return err
		}
		return r.scribe(tx, a, r.cfg.Now()).note(evJournalBegun, map[string]any{}, about(ofVendor, r.keys().vendor.ID))
	})
	return began, err
}

// EndJournal ends the second journal, for all servers.
func (r *Registry) EndJournal(ctx context.Context, a Actor, reason string) error {
	if err := a.may(ScopeAdmin); err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return refusal.New(refusal.InvalidInput, "No reason was given.").Hinted("Say why; the histories keep it.")
	}
	return r.write(ctx, func(tx *store.Tx) error {
		if err := tx.TouchVendor(); err != nil {
			return err
		}
		if err := tx.EndJournal(); err != nil {
			return err
		}
		log := r.scribe(tx, a, r.cfg.Now())
		log.reason = reason
		return log.note(evJournalEnded, map[string]any{}, about(ofVendor, r.keys().vendor.ID))
	})
}

func (r *Registry) newChain() string {
	var id [16]byte
	r.cfg.Random(id[:])
	return hex.EncodeToString(id[:])
}

// PutBack begins another chain of the journal in a record that was put back by other
// means, before OpenGap. The registry is not open then.
func PutBack(ctx context.Context, cfg Config) error {
	r := &Registry{cfg: cfg}
	if err := r.loadKeys(ctx); err != nil {
		return err
	}
	return r.write(ctx, func(tx *store.Tx) error {
		if err := tx.TouchVendor(); err != nil {
			return err
		}
		return r.rechain(tx)
	})
}

// rechain begins another chain of the journal, if the record has one: what is written
// from now on does not follow what the journal has.
func (r *Registry) rechain(tx *store.Tx) error {
	row, err := tx.Journal()
	if errors.Is(err, store.ErrNotFound) || err == nil && row.Ended {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.BeginJournal(r.newChain(), row.Chain)
}

// placeFault is a refusal of a place that is none.
func placeFault(path string, err error) error {
	switch {
	case errors.Is(err, journal.ErrNoPlace):
		return refusal.New(refusal.JournalUnavailable, "%s is not the place of a journal.", path).Hinted("If its volume is not mounted, mount it. licet-central journal begin makes a new place.")
	case errors.Is(err, journal.ErrForeign):
		return refusal.New(refusal.JournalUnavailable, "%s holds the journal of another vendor. It was not touched.", path).Hinted("Name the folder of this one.")
	}
	return err
}

// Forward is what a journal has brought to a record.
type Forward struct {
	Frames  int64        `json:"frames"`
	End     license.Time `json:"end,omitzero"`      // of the last one
	Whole   bool         `json:"whole"`             // nothing that left the server is missing
	Wanting []string     `json:"wanting,omitempty"` // why not, if not
}

// replayBatch is how many frames are brought with one transaction.
const replayBatch = 200

// forward brings a record, which nobody uses, forward with its journal.
func forward(ctx context.Context, cfg Config, url string, schema int64, places []string, progress func(string, int64)) (out Forward, err error) {
	db, err := store.OpenAt(ctx, url, schema)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var row store.JournalRow
	var vendor string
	err = db.Read(ctx, func(tx *store.Tx) error {
		v, err := tx.VendorHead()
		if err != nil {
			return err
		}
		vendor = v.ID
		row, err = tx.Journal()
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && row.Ended {
		return out, refusal.New(refusal.JournalUnavailable, "The back-up was made while the record had no second journal: no journal follows it. Nothing was restored for use.").
			Hinted("Restore a back-up that was made after licet-central journal begin, or restore this one without --journal.")
	}
	if err != nil {
		return out, err
	}
	vault, err := seal.NewVault(cfg.Secret)
	if err != nil {
		return out, err
	}
	log, err := journal.Read(places, vault, vendor, row.Chain, row.Point)
	if err != nil {
		return out, placeFault(strings.Join(places, ", "), err)
	}
	frames := log.Frames
	for len(frames) > 0 {
		if frames[0].Schema > schema {
			// The program was renewed then.
			if schema = frames[0].Schema; schema > store.Newest() {
				return out, refusal.New(refusal.UnsupportedVersion, "The journal has the schema %d; this program knows %d.", schema, store.Newest()).
					Hinted("Use licet-central of the version that wrote it, or newer.")
			}
			if err := db.Close(); err != nil {
				return out, err
			}
			if db, err = store.OpenAt(ctx, url, schema); err != nil {
				return out, err
			}
		}
		n := 0
		for n < len(frames) && n < replayBatch && frames[n].Schema <= schema {
			n++
		}
		err := db.Write(ctx, func(tx *store.Tx) error {
			for i := range frames[:n] {
				if err := tx.Replay(&frames[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return out, fmt.Errorf("the journal cannot be brought to the record: %w", err)
		}
		out.Frames += int64(n)
		frames = frames[n:]
		if progress != nil {
			progress("journal", out.Frames)
		}
	}
	out.End, out.Wanting = log.End, log.Wanting
	err = db.Read(ctx, func(tx *store.Tx) error {
		row, err = tx.Journal()
		return err
	})
	if err == nil && row.Ended {
		out.Wanting = append(out.Wanting, "the journal was ended, and what came after that is not in it")
	}
	out.Whole = len(out.Wanting) == 0
	return out, err
}

// TrimJournal deletes the files of a place that no return needs from the back-up given
// or a later one.
func TrimJournal(ctx context.Context, cfg Config, req RestoreBackup) (deleted []string, err error) {
	b, err := readThrough(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := marked(b, cfg.Secret); err != nil {
		return nil, err
	}
	h := b.Header
	if h.Journal == nil {
		return nil, refusal.New(refusal.JournalUnavailable, "The back-up was made while the record had no second journal. Nothing was deleted.")
	}
	vault, err := seal.NewVault(cfg.Secret)
	if err != nil {
		return nil, err
	}
	deleted, err = journal.Trim(cfg.Journal, vault, h.Vendor, h.Journal.Chain, journal.Point{Number: h.Journal.Number}, cfg.JournalDisk)
	return deleted, placeFault(cfg.Journal, err)
}

// forwardView is what a return tells of its journal.
func forwardView(f Forward) *wire.Forward {
	return &wire.Forward{Frames: f.Frames, End: f.End, Whole: f.Whole, Wanting: f.Wanting}
}
