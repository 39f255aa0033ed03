package machine

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func office() []Trait {
	return []Trait{
		{MachineID, "0123", 4}, {NetworkAddress, "00:11:22:33:44:55", 3}, {DiskID, "naa.1", 3}, {RootFilesystem, "ab-cd", 2},
		{ComputerModel, "Maker Model", 1}, {Mainboard, "Maker Board", 1}, {Processor, "CPU", 1}, {HostName, "office", 1}, {InstallationID, "77", 1},
	}
}

func common(x, y [][]byte) (n int) {
	for _, d := range x {
		if slices.ContainsFunc(y, func(e []byte) bool { return bytes.Equal(d, e) }) {
			n++
		}
	}
	return n
}

// TestHardwareSurvivesReinstallation: what a new system brings along does not
// count, and what stays does.
func TestHardwareSurvivesReinstallation(t *testing.T) {
	before, traits := Hardware("vendor", office()), office()
	for i, trait := range traits {
		switch trait.Name {
		case MachineID, RootFilesystem, HostName, InstallationID:
			traits[i].Value += " new"
		}
	}
	if after := Hardware("vendor", traits); !reflect.DeepEqual(before, after) || len(before) != 3 {
		t.Errorf("before %x, after %x", before, after)
	}
}

// TestHardwareOfOneModel: two machines of one model have one digest in common.
func TestHardwareOfOneModel(t *testing.T) {
	traits := office()
	traits[1].Value, traits[2].Value = "00:11:22:33:44:66", "naa.2"
	if n := common(Hardware("vendor", office()), Hardware("vendor", traits)); n != 1 {
		t.Errorf("%d in common", n)
	}
}

// TestHardwareIsTheVendorsOwn: what two vendors are shown has nothing in common.
func TestHardwareIsTheVendorsOwn(t *testing.T) {
	if n := common(Hardware("one", office()), Hardware("two", office())); n != 0 {
		t.Errorf("%d in common", n)
	}
}

func TestHardwareForm(t *testing.T) {
	names := []string{MachineID, NetworkAddress, DiskID, DeviceSerial, FirmwareID, ComputerModel, Mainboard, Processor, HostName}
	rapid.Check(t, func(t *rapid.T) {
		traits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Trait {
			return Trait{rapid.SampledFrom(names).Draw(t, "name"), rapid.StringN(1, 8, -1).Draw(t, "value"), 1}
		}), 0, 60).Draw(t, "traits")
		got := Hardware("vendor", traits)
		if len(got) > maxHardware || !slices.IsSortedFunc(got, bytes.Compare) {
			t.Fatalf("%x", got)
		}
		for i, d := range got {
			if len(d) != hardwareBytes || i > 0 && bytes.Equal(d, got[i-1]) {
				t.Fatalf("%x", got)
			}
		}
		slices.Reverse(traits)
		if again := Hardware("vendor", traits); !reflect.DeepEqual(got, again) {
			t.Fatalf("order matters: %x %x", got, again)
		}
	})
}
