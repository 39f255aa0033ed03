package machine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strings"
)

// Bounds of what a machine shows of its hardware.
const (
	hardwareBytes = 8  // of each digest
	maxHardware   = 32 // digests
)

// hardwareInfo separates this use of the vendor's id as a key from every other.
const hardwareInfo = "licet hardware v1"

// Hardware is what a machine shows a vendor of the traits that survive a new
// installation of its system: for each a digest of 8 bytes, keyed by the vendor's
// id, so that two vendors cannot compare what they were shown. Sorted.
//
// What many machines have alike, the models of computer, mainboard and
// processor, makes one digest together: two machines of one model have one digest
// in common, not three. The digests are evidence, not proof: whoever knows a
// machine's numbers can make them anywhere (docs/threat-model.md).
func Hardware(vendor string, traits []Trait) [][]byte {
	var digests [][]byte
	add := func(name, value string) {
		mac := hmac.New(sha256.New, []byte(vendor))
		mac.Write([]byte(hardwareInfo + "\x00" + name + "\x00" + value))
		digests = append(digests, mac.Sum(nil)[:hardwareBytes])
	}
	var models []string
	for _, t := range traits {
		switch t.Name {
		case NetworkAddress, DiskID, DeviceSerial, FirmwareID:
			add(t.Name, t.Value)
		case ComputerModel, Mainboard, Processor:
			models = append(models, t.Name+"\x00"+t.Value)
		}
	}
	if len(models) > 0 {
		slices.Sort(models)
		add("models", strings.Join(models, "\x00"))
	}
	slices.SortFunc(digests, bytes.Compare)
	digests = slices.CompactFunc(digests, bytes.Equal)
	return digests[:min(len(digests), maxHardware)]
}
