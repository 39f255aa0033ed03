package machine

import (
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o444} }
func secret(text string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(text), Mode: 0o400}
}
func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
}

const metalCPU = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM) i7-1185G7\nflags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: another\n"

// laptop is a machine of metal with a dock and some virtual devices.
func laptop() fstest.MapFS {
	return fstest.MapFS{
		"etc/machine-id":                              file("0123456789abcdef0123456789abcdef\n"),
		"proc/cpuinfo":                                file(metalCPU),
		"proc/sys/kernel/hostname":                    file("ada\n"),
		"proc/1/cgroup":                               file("0::/init.scope\n"),
		"proc/mounts":                                 file("sysfs /sys sysfs rw 0 0\n/dev/mapper/root / ext4 rw 0 0\n/dev/nvme0n1p1 /boot vfat rw 0 0\n"),
		"dev/mapper/root":                             link("../dm-0"),
		"dev/dm-0":                                    file(""),
		"dev/nvme0n1p1":                               file(""),
		"dev/disk/by-uuid/AAAA-BBBB":                  link("../../nvme0n1p1"),
		"dev/disk/by-uuid/6f3c-root":                  link("../../dm-0"),
		"sys/class/dmi/id/sys_vendor":                 file("LENOVO\n"),
		"sys/class/dmi/id/product_name":               file("20XW\n"),
		"sys/class/dmi/id/board_vendor":               file("LENOVO\n"),
		"sys/class/dmi/id/board_name":                 file("To be filled by O.E.M.\n"),
		"sys/class/dmi/id/product_uuid":               secret("4c4c4544-0000\n"),
		"sys/class/dmi/id/product_serial":             secret("System Serial Number\n"),
		"sys/class/net/eth0":                          link("../../devices/pci0/net/eth0"),
		"sys/devices/pci0/net/eth0/device":            link("../.."),
		"sys/devices/pci0/net/eth0/address":           file("00:1B:21:AA:BB:CC\n"),
		"sys/devices/pci0/net/eth0/addr_assign_type":  file("0\n"),
		"sys/class/net/wlan0":                         link("../../devices/pci1/net/wlan0"),
		"sys/devices/pci1/net/wlan0/device":           link("../.."),
		"sys/devices/pci1/net/wlan0/address":          file("5e:11:22:33:44:55\n"), // made up by software
		"sys/devices/pci1/net/wlan0/addr_assign_type": file("3\n"),
		"sys/class/net/dock":                          link("../../devices/pci0/usb1/net/dock"),
		"sys/devices/pci0/usb1/net/dock/device":       link("../.."),
		"sys/devices/pci0/usb1/net/dock/address":      file("00:1b:21:00:00:01\n"),
		"sys/class/net/docker0":                       link("../../devices/virtual/net/docker0"),
		"sys/devices/virtual/net/docker0/address":     file("02:42:00:00:00:01\n"),
		"sys/block/nvme0n1":                           link("../devices/pci2/block/nvme0n1"),
		"sys/devices/pci2/block/nvme0n1/wwid":         file("eui.0025385b11b0aaaa\n"),
		"sys/devices/pci2/block/nvme0n1/removable":    file("0\n"),
		"sys/block/sdb":                               link("../devices/pci0/usb1/block/sdb"),
		"sys/devices/pci0/usb1/block/sdb/wwid":        file("naa.5000000000001\n"),
		"sys/block/loop0":                             link("../devices/virtual/block/loop0"),
		"sys/devices/virtual/block/loop0/serial":      file("1234567\n"),
	}
}

// guest is a virtual machine made from an image.
func guest(address string) fstest.MapFS {
	return fstest.MapFS{
		"etc/machine-id":                             file("0123456789abcdef0123456789abcdef\n"),
		"proc/cpuinfo":                               file("model name\t: QEMU Virtual CPU\nflags\t\t: fpu hypervisor\n"),
		"proc/sys/kernel/hostname":                   file("image\n"),
		"proc/mounts":                                file("/dev/vda1 / ext4 rw 0 0\n"),
		"dev/vda1":                                   file(""),
		"dev/disk/by-uuid/1a2b":                      link("../../vda1"),
		"sys/class/dmi/id/sys_vendor":                file("QEMU\n"),
		"sys/class/dmi/id/product_name":              file("Standard PC\n"),
		"sys/class/net/eth0":                         link("../../devices/pci0/net/eth0"),
		"sys/devices/pci0/net/eth0/device":           link("../.."),
		"sys/devices/pci0/net/eth0/address":          file(address + "\n"),
		"sys/devices/pci0/net/eth0/addr_assign_type": file("0\n"),
		"sys/block/sda":                              link("../devices/pci0/block/sda"),
		"sys/devices/pci0/block/sda/device/wwid":     file("t10.ATA QEMU HARDDISK QM00001\n"),
		"sys/block/vda":                              link("../devices/pci0/block/vda"),
		"sys/devices/pci0/block/vda/serial":          file("persistent-disk-0\n"),
	}
}

func TestRead(t *testing.T) {
	got := Read(laptop())
	want := []Trait{
		{MachineID, "0123456789abcdef0123456789abcdef", 4},
		{NetworkAddress, "00:1b:21:aa:bb:cc", 3},
		{DiskID, "eui.0025385b11b0aaaa", 3},
		{RootFilesystem, "6f3c-root", 2},
		{ComputerModel, "LENOVO 20XW", 1},
		{Mainboard, "LENOVO To be filled by O.E.M.", 1},
		{Processor, "Intel(R) Core(TM) i7-1185G7", 1},
		{HostName, "ada", 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if Few(got) {
		t.Error("a laptop has few traits")
	}
	if diff := cmp.Diff([]Trait{{FirmwareID, "4c4c4544-0000", 3}}, ReadPrivileged(laptop())); diff != "" {
		t.Error(diff)
	}
}

func TestReadGuest(t *testing.T) {
	want := []Trait{
		{MachineID, "0123456789abcdef0123456789abcdef", 1},
		{NetworkAddress, "52:54:00:00:00:01", 3},
		{RootFilesystem, "1a2b", 1},
		{ComputerModel, "QEMU Standard PC", 1},
		{Processor, "QEMU Virtual CPU", 1},
		{HostName, "image", 1},
	}
	if diff := cmp.Diff(want, Read(guest("52:54:00:00:00:01"))); diff != "" {
		t.Error(diff)
	}
}

func TestReadWithoutAnything(t *testing.T) {
	if got := Read(fstest.MapFS{}); len(got) != 0 || !Few(got) {
		t.Errorf("got %v", got)
	}
	if got := Read(fstest.MapFS{"etc/machine-id": file("uninitialized\n"), "proc/sys/kernel/hostname": file("localhost\n")}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestReadArm(t *testing.T) {
	got := Read(fstest.MapFS{
		"proc/cpuinfo": file("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nprocessor\t: 1\nCPU part\t: 0xd09\n"),
		"sys/firmware/devicetree/base/serial-number": file("10000000abcdef01\x00"),
		"var/lib/dbus/machine-id":                    file("fedcba9876543210fedcba9876543210\n"),
	})
	want := []Trait{
		{MachineID, "fedcba9876543210fedcba9876543210", 4},
		{DeviceSerial, "10000000abcdef01", 3},
		{Processor, "0x41 0xd08", 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment(t *testing.T) {
	with := func(extra fstest.MapFS) fstest.MapFS {
		m := laptop()
		maps.Copy(m, extra)
		return m
	}
	for want, fsys := range map[string]fs.FS{
		"":                               laptop(),
		"virtual machine (QEMU)":         guest("52:54:00:00:00:01"),
		"container (docker)":             with(fstest.MapFS{".dockerenv": file("")}),
		"container (podman)":             with(fstest.MapFS{"run/.containerenv": file("")}),
		"container (kubernetes)":         with(fstest.MapFS{"proc/1/cgroup": file("0::/kubepods/burstable/pod1\n")}),
		"virtual machine (Hyper-V)":      with(fstest.MapFS{"proc/cpuinfo": file("flags : hypervisor\n"), "sys/class/dmi/id/sys_vendor": file("Microsoft Corporation"), "sys/class/dmi/id/product_name": file("Virtual Machine")}),
		"virtual machine (unknown kind)": with(fstest.MapFS{"proc/cpuinfo": file("flags : fpu hypervisor sse\n")}),
		"virtual machine (Amazon EC2)":   fstest.MapFS{"sys/class/dmi/id/sys_vendor": file("Amazon EC2")}, // ARM: no flags
	} {
		if got := Environment(fsys); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	metal := with(fstest.MapFS{"sys/class/dmi/id/sys_vendor": file("Amazon EC2"), "sys/class/dmi/id/product_name": file("m5.metal")})
	if got := Environment(metal); got != "" {
		t.Errorf("metal is %q", got)
	}
}

func TestCloneOfGuestStaysBelowLoose(t *testing.T) {
	binding, _, err := Bind(Read(guest("52:54:00:00:00:01")), source(1))
	if err != nil {
		t.Fatal(err)
	}
	_, match, err := binding.Open(Read(guest("52:54:00:00:00:02")))
	if err != ErrBelowLoose || strings.Join(match.Changed, ",") != NetworkAddress {
		t.Errorf("%v, %+v", err, match)
	}
	if _, _, err := binding.Open(Read(guest("52:54:00:00:00:01"))); err != nil {
		t.Error(err)
	}
}

// TestLocal reads the machine that runs the test: twice the same, and as root
// the same as for everybody.
func TestLocal(t *testing.T) {
	first, second := Local(), Local()
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	if len(first) == 0 {
		t.Error("this machine has no traits")
	}
	t.Logf("%s: %d traits, few: %v", LocalEnvironment(), len(first), Few(first))
}

func BenchmarkLocal(b *testing.B) {
	for b.Loop() {
		Read(os.DirFS("/"))
	}
}
