// Package machine knows what makes this machine this one: it reads its traits
// and seals secrets to them, so that a copy on another machine does not open
// (docs/decisions/0006, docs/threat-model.md).
//
// A trait's value never leaves this package's callers: a [Binding] holds
// salted digests, with which a machine can tell which of its own traits
// changed. A digest can be guessed offline by somebody who holds the file and
// knows what to guess; traits keep honest copies apart, they are not
// passwords.
package machine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"licet/internal/durable"
)

// Trait is one thing about a machine. Several traits with one name are
// alternatives: the name matches when any one of its values is still there, so
// that a second disk or network card neither helps nor hurts.
type Trait struct {
	// Name is what people call it, such as [NetworkAddress].
	Name string
	// Value is compared byte by byte.
	Value string
	// Weight says how much the name counts, the same for all its values.
	// [SharedWeight] is for values that another machine may have as well; more
	// than that is for what is this machine's alone.
	Weight int
}

// The names of traits, in people's words.
const (
	MachineID      = "machine id"
	NetworkAddress = "network address"
	DiskID         = "disk"
	RootFilesystem = "root filesystem"
	DeviceSerial   = "device serial number"
	ComputerModel  = "computer model"
	Mainboard      = "mainboard model"
	Processor      = "processor"
	HostName       = "host name"
	InstallationID = "installation"
	FirmwareID     = "firmware id"
)

// SharedWeight is the weight of a trait that does not tell machines apart by
// itself: a model, a name, or what a copied disk image carries along.
const SharedWeight = 1

// Weights of what one machine alone has. A network card and a disk can be
// replaced; the machine id changes only with a new installation.
const (
	weightMachineID = 4
	weightHardware  = 3
	weightRoot      = 2
)

// Few says whether traits hold nothing that is this machine's alone. A
// container bound to them opens on any copy of this machine; the caller adds
// [Installation], so that at least the folder is recognized.
func Few(traits []Trait) bool {
	return !slices.ContainsFunc(traits, func(t Trait) bool { return t.Weight > SharedWeight })
}

const (
	installationFile  = "installation"
	installationBytes = 32
	installationLimit = 1 << 10
)

// Installation reads the random value that stands for this installation in
// the folder dir, or makes it, durably, with 32 bytes of random. It is a weak
// trait: a copy of the whole folder has it too.
func Installation(disk *durable.Disk, dir string, random io.Reader) (Trait, error) {
	trait, err := ReadInstallation(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return trait, err
	}
	if err := disk.MkdirAll(dir, durable.PrivateDir); err != nil {
		return Trait{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Trait{}, err
	}
	defer root.Close()
	if random == nil {
		random = rand.Reader
	}
	value := make([]byte, installationBytes)
	if _, err := io.ReadFull(random, value); err != nil {
		return Trait{}, fmt.Errorf("machine: random bytes: %w", err)
	}
	err = disk.CreateFile(root, installationFile, []byte(hex.EncodeToString(value)+"\n"), durable.PrivateFile)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return Trait{}, err
	}
	return ReadInstallation(dir)
}

// ReadInstallation is [Installation] without making anything: without the file
// the error is [fs.ErrNotExist].
func ReadInstallation(dir string) (Trait, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Trait{}, err
	}
	defer root.Close()
	data, err := durable.ReadFile(root, installationFile, installationLimit)
	if err != nil {
		return Trait{}, err
	}
	value := strings.TrimSuffix(string(data), "\n")
	if raw, err := hex.DecodeString(value); err != nil || len(raw) != installationBytes {
		return Trait{}, fmt.Errorf("machine: %s in %s is damaged", installationFile, dir)
	}
	return Trait{Name: InstallationID, Value: value, Weight: SharedWeight}, nil
}
