// Package journal is the second journal of a record: what a transaction of central
// writes, kept in files on another disk before anything of it leaves. A back-up and
// the journal together are the record as it was at the last answer.
//
// It is a folder. Every process that writes has a file of its own in it, a ledger
// (package ledger) whose first record is a header and whose others are frames, one for
// each commit. A frame names its number and mark, and the mark of the one before; the
// record itself keeps number and mark of the last. So frames of any number of
// processes and servers have one order, none can be missing in between, and one whose
// commit did not take place after all is told apart: the next frame has its number.
//
// Frames are sealed under the secret of the server: who has the folder alone reads
// nothing, and cannot change anything.
package journal

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gofrs/flock"

	"licet/internal/durable"
	"licet/internal/ledger"
	"licet/license"
	"licet/seal"
)

// Version is the version of the format.
const Version = 1

const (
	// place is the file that makes a folder the place of a journal. Without it nothing
	// is written: a volume that is not mounted leaves an empty folder behind.
	place = "licet.journal"

	suffix = ".log"

	// fullFile is how large a file gets before the next one is begun.
	fullFile = 64 << 20
	// grow is by how much a file is laid out ahead.
	grow = 256 << 10
	// maxFrame bounds what a frame may hold when it is read.
	maxFrame = 1 << 30
)

var (
	// ErrNoPlace says that a folder is not the place of a journal.
	ErrNoPlace = errors.New("journal: the folder is not the place of a journal; is its volume mounted?")
	// ErrForeign says that a journal is that of another vendor, or of another secret.
	ErrForeign = errors.New("journal: it is that of another server")
)

// Statement is one statement that changed something.
type Statement struct {
	_    struct{} `cbor:",toarray"`
	Text string
	Rows int64 // that it changed; -1 if that is not known
	Args []any // nil, int64, string or []byte
}

// Mark names a frame.
type Mark [16]byte

// Point is a place in a journal, as the record keeps it.
type Point struct {
	Number int64
	Mark   Mark
}

// Frame is what one commit writes.
type Frame struct {
	Point
	Before     Mark
	Time       license.Time
	Statements []Statement
}

// Header is the first record of a file.
type Header struct {
	Version int          `json:"version"`
	Vendor  string       `json:"vendor"`
	Chain   string       `json:"chain"`            // the numbers of its frames
	Follows string       `json:"follows,omitzero"` // the chain that ended where this one began
	Schema  int64        `json:"schema"`           // of the database that its statements are for
	Program string       `json:"program"`
	Process string       `json:"process"` // that writes it
	Begun   license.Time `json:"begun"`
	// Ended names the files of the folder that nobody wrote any more when this one was
	// begun.
	Ended []string `json:"ended,omitempty"`
}

// frame is a frame in a file.
type frame struct {
	_      struct{} `cbor:",toarray"`
	Number int64
	Mark   []byte
	Before []byte
	Time   license.Time
	Sealed []byte
}

// at is where a frame is sealed for: it opens nowhere else.
func (f *frame) at(header []byte) seal.Place {
	h := seal.Place{Table: "journal", Row: string(header)}
	h.Column = fmt.Sprintf("%d %x %x %d", f.Number, f.Mark, f.Before, int64(f.Time))
	return h
}

// Config is what a journal is opened with.
type Config struct {
	Path    string // of the folder
	Vault   *seal.Vault
	Vendor  string
	Program string
	Now     func() time.Time
	Random  func([]byte)
	Disk    *durable.Disk
}

// Journal is a place that one process writes to. It is safe for concurrent use.
type Journal struct {
	cfg     Config
	process string

	mu     sync.Mutex
	about  Header // chain, what it follows, and schema
	dir    *os.Root
	lock   *flock.Flock
	file   *ledger.Ledger[struct{}]
	name   string
	begun  int // files
	header []byte
	failed error // of the last frame; nil when it was written
	last   license.Time
	closed bool
}

// Prepare makes a folder the place of a vendor's journal. One that is it already
// stays as it is.
func Prepare(path, vendor string, disk *durable.Disk) error {
	if err := disk.MkdirAll(path, durable.PrivateDir); err != nil {
		return err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = disk.CreateFile(dir, place, []byte("licet journal 1\n"+vendor+"\n"), durable.PrivateFile)
	if errors.Is(err, fs.ErrExist) {
		return checkPlace(dir, vendor)
	}
	return err
}

func checkPlace(dir *os.Root, vendor string) error {
	text, err := durable.ReadFile(dir, place, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoPlace
	}
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(text), "licet journal 1\n") {
		return ErrNoPlace
	}
	if string(text) != "licet journal 1\n"+vendor+"\n" {
		return ErrForeign
	}
	return nil
}

// New is a journal that nothing was written to yet.
func New(cfg Config) *Journal {
	var id [8]byte
	cfg.Random(id[:])
	return &Journal{cfg: cfg, process: hex.EncodeToString(id[:])}
}

// Path is the folder.
func (j *Journal) Path() string { return j.cfg.Path }

// Begin says which chain the frames belong to from now on, and looks whether the place
// can be written to.
func (j *Journal) Begin(chain, follows string, schema int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end()
	j.about = Header{Chain: chain, Follows: follows, Schema: schema}
	dir, err := os.OpenRoot(j.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoPlace
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return checkPlace(dir, j.cfg.Vendor)
}

// NewMark draws the mark of a frame.
func (j *Journal) NewMark() (m Mark) {
	j.cfg.Random(m[:])
	return m
}

// Append writes a frame, of which only the time is missing, and makes it last. After a
// failure the next frame goes to a new file: what the old one holds is not known.
func (j *Journal) Append(f Frame) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ledger.ErrClosed
	}
	j.failed = j.append(f)
	if j.failed != nil {
		j.end()
	}
	return j.failed
}

func (j *Journal) append(f Frame) error {
	now := license.At(j.cfg.Now())
	if j.file != nil {
		if size, _ := j.file.Size(); size > fullFile {
			j.end()
		}
	}
	if j.file == nil {
		if err := j.open(now); err != nil {
			return err
		}
	}
	row := frame{Number: f.Number, Mark: f.Mark[:], Before: f.Before[:], Time: now}
	plain, err := cbor.Marshal(f.Statements)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	zip, _ := flate.NewWriter(&packed, flate.BestSpeed) // a level that there is
	if _, err := zip.Write(plain); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	if row.Sealed, err = j.cfg.Vault.Seal(row.at(j.header), packed.Bytes()); err != nil {
		return err
	}
	record, err := cbor.Marshal(row)
	if err != nil {
		return err
	}
	if err := j.file.Note(record).Wait(); err != nil {
		return err
	}
	j.last = now
	return nil
}

// open begins a file.
func (j *Journal) open(now license.Time) (err error) {
	dir, err := os.OpenRoot(j.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoPlace
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			j.end()
		}
	}()
	j.dir = dir
	if err := checkPlace(dir, j.cfg.Vendor); err != nil {
		return err
	}
	h := j.about
	h.Version, h.Vendor, h.Program, h.Process, h.Begun = Version, j.cfg.Vendor, j.cfg.Program, j.process, now
	if h.Ended, err = ended(j.cfg.Path); err != nil {
		return err
	}
	if j.header, err = json.Marshal(h); err != nil {
		return err
	}
	j.begun++
	j.name = fmt.Sprintf("%s-%s-%04d%s", now.Go().UTC().Format("20060102T150405"), j.process, j.begun, suffix)
	j.file, err = ledger.Create(dir, j.name, random(j.cfg.Random), ledger.Options[struct{}]{Disk: j.cfg.Disk, Grow: grow}, [][]byte{j.header})
	if err != nil {
		return err
	}
	// Held as long as the file is written. Where a file system knows no locks, nobody
	// will be told that it has ended, which is the careful answer.
	j.lock = flock.New(filepath.Join(j.cfg.Path, j.name), flock.SetFlag(os.O_RDWR))
	_, _ = j.lock.TryLock()
	return nil
}

// end closes the file that is written. What could not be closed was not needed: every
// frame was made to last by itself.
func (j *Journal) end() {
	if j.file != nil {
		_ = j.file.Close()
	}
	if j.lock != nil {
		_ = j.lock.Unlock()
	}
	if j.dir != nil {
		_ = j.dir.Close()
	}
	j.file, j.lock, j.dir = nil, nil, nil
}

// ended are the files that nobody writes any more.
func ended(path string) (names []string, err error) {
	all, err := files(path)
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		l := flock.New(filepath.Join(path, name), flock.SetFlag(os.O_RDWR))
		if free, err := l.TryLock(); err == nil && free {
			names = append(names, name)
			_ = l.Unlock()
		}
	}
	return names, nil
}

// files are the names of the files of a journal.
func files(path string) (names []string, err error) {
	all, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if strings.HasSuffix(e.Name(), suffix) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// State says when the last frame was written, and why the latest could not be; and
// whether the place is there now.
func (j *Journal) State() (last license.Time, failed error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last, j.failed
}

// Check reports whether frames can be written: where none was yet, or the last could
// not be, it begins a file and writes an empty record to it.
func (j *Journal) Check() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ledger.ErrClosed
	}
	if j.file != nil { // whatever fails ends it
		return nil
	}
	if j.failed = j.open(license.At(j.cfg.Now())); j.failed == nil {
		if j.failed = j.file.Note([]byte{}).Wait(); j.failed != nil {
			j.end()
		}
	}
	return j.failed
}

// End ends the file that is written; the next frame begins another.
func (j *Journal) End() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end()
}

// Close ends the file, and nothing more is written.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end()
	j.closed = true
}

type random func([]byte)

func (r random) Read(b []byte) (int, error) { r(b); return len(b), nil }

// decoded are the statements of a frame.
func decoded(packed []byte) (all []Statement, err error) {
	zip := flate.NewReader(bytes.NewReader(packed))
	plain, err := io.ReadAll(io.LimitReader(zip, maxFrame+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxFrame {
		return nil, errors.New("journal: a frame is too large")
	}
	if err := decoding.Unmarshal(plain, &all); err != nil {
		return nil, err
	}
	for _, s := range all {
		for _, v := range s.Args {
			switch v.(type) {
			case nil, int64, string, []byte:
			default:
				return nil, errors.New("journal: a statement has an argument of type " + strconv.Quote(fmt.Sprintf("%T", v)))
			}
		}
	}
	return all, nil
}

var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		IntDec: cbor.IntDecConvertSignedOrFail, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		UTF8: cbor.UTF8RejectInvalid, MaxNestedLevels: 5, MaxArrayElements: 1 << 24, MaxMapPairs: 16,
	}.DecMode()
	if err != nil {
		panic(err) // options that do not go together
	}
	return mode
}()
