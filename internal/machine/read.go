package machine

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxTraitFile bounds what is read of one file, in bytes. The longest is
// /proc/cpuinfo, of which the first processor is enough and the rest is slow.
const maxTraitFile = 16 << 10

// anyoneMayRead is the mode bit that makes a file fit for [Read].
const anyoneMayRead fs.FileMode = 0o004

// Read reads the traits of a Linux machine whose root folder is fsys,
// os.DirFS("/") for this one. What cannot be read is absent.
//
// It reads only what every user may read, even as root: otherwise a container
// that root bound would not open for a user's program. For the same reason a
// service that binds containers must see the real /sys and /dev (no
// PrivateDevices and no PrivateNetwork in its systemd unit).
//
// In a virtual machine or container ([Environment]) what a disk image carries
// along, machine id and root filesystem, has only [SharedWeight]: a clone with
// other hardware then stays below the loose threshold (threat Th14).
func Read(fsys fs.FS) []Trait {
	image, root := weightMachineID, weightRoot
	if Environment(fsys) != "" {
		image, root = SharedWeight, SharedWeight
	}
	r := &reader{fsys: fsys}
	r.add(MachineID, image, machineID(r))
	r.add(NetworkAddress, weightHardware, networkAddresses(r)...)
	r.add(DiskID, weightHardware, disks(r)...)
	r.add(DeviceSerial, weightHardware, r.text("sys/firmware/devicetree/base/serial-number"))
	r.add(RootFilesystem, root, rootFilesystem(r))
	r.add(ComputerModel, SharedWeight, r.pair("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"))
	r.add(Mainboard, SharedWeight, r.pair("sys/class/dmi/id/board_vendor", "sys/class/dmi/id/board_name"))
	r.add(Processor, SharedWeight, processor(r))
	r.add(HostName, SharedWeight, r.text("proc/sys/kernel/hostname"))
	return r.traits
}

// ReadPrivileged reads what only root may read: the firmware's id and serial
// numbers. They may strengthen what a root process decides by itself; a
// container that ordinary users open must not be bound to them.
func ReadPrivileged(fsys fs.FS) []Trait {
	r := &reader{fsys: fsys, privileged: true}
	for _, name := range []string{"product_uuid", "product_serial", "board_serial"} {
		r.add(FirmwareID, weightHardware, r.text("sys/class/dmi/id/"+name))
	}
	return r.traits
}

// reader collects the traits of fsys.
type reader struct {
	fsys       fs.FS
	privileged bool
	traits     []Trait
}

// add adds the values that say something, each once and in order.
func (r *reader) add(name string, weight int, values ...string) {
	slices.Sort(values)
	for _, value := range slices.Compact(values) {
		if value != "" && !placeholder(value) {
			r.traits = append(r.traits, Trait{Name: name, Value: value, Weight: weight})
		}
	}
}

// placeholders are what makers and hypervisors write where they write nothing.
var placeholders = []string{
	"to be filled by o.e.m.", "default string", "not specified", "not applicable",
	"system serial number", "system product name", "none", "unknown", "n/a", "(none)", "localhost",
}

// placeholder says whether a value is the same on many machines: a phrase, or
// one character many times.
func placeholder(value string) bool {
	return slices.Contains(placeholders, strings.ToLower(value)) ||
		strings.Trim(value, value[:1]+"-:. ") == "" ||
		strings.Contains(value, "QM0000") // the emulated disk of a virtual machine
}

// text is a file's content in one line, empty if it may not or cannot be read.
func (r *reader) text(name string) string {
	file, err := r.fsys.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || !r.privileged && info.Mode()&anyoneMayRead == 0 {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(file, maxTraitFile))
	if err != nil {
		return ""
	}
	return strings.Trim(string(data), " \t\r\n\x00")
}

// pair is two files' texts as one value, empty if neither says anything.
func (r *reader) pair(first, second string) string {
	return strings.TrimSpace(r.text(first) + " " + r.text(second))
}

// names lists a folder, sorted; empty if it cannot be read.
func (r *reader) names(dir string) []string {
	entries, err := fs.ReadDir(r.fsys, dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}

// link is where a symbolic link points, empty if it is none.
func (r *reader) link(name string) string {
	target, err := fs.ReadLink(r.fsys, name)
	if err != nil {
		return ""
	}
	return target
}

// builtIn says whether a device of /sys/class or /sys/block is part of the
// machine: neither virtual nor plugged in by USB.
func (r *reader) builtIn(name string) bool {
	target := r.link(name)
	return !strings.Contains(target, "/virtual/") && !strings.Contains(target, "/usb")
}

const machineIDLength = 32

func machineID(r *reader) string {
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		if id := r.text(name); len(id) == machineIDLength {
			return id
		}
	}
	return ""
}

// networkAddresses are the hardware addresses of built-in network cards. An
// address that software chose does not count; the hypervisor's choice does,
// which its network card reports as permanent.
func networkAddresses(r *reader) []string {
	const (
		dir       = "sys/class/net/"
		permanent = "0" // NET_ADDR_PERM
		length    = len("00:00:00:00:00:00")
	)
	var addresses []string
	for _, card := range r.names(dir[:len(dir)-1]) {
		if _, err := fs.Stat(r.fsys, dir+card+"/device"); err != nil || !r.builtIn(dir+card) {
			continue
		}
		address := strings.ToLower(r.text(dir + card + "/address"))
		if len(address) != length {
			continue
		}
		if r.text(dir+card+"/addr_assign_type") == permanent || !locallyChosen(address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// locallyChosen says whether a hardware address has the bit of addresses that
// no maker assigned.
func locallyChosen(address string) bool {
	first, err := strconv.ParseUint(address[:2], 16, 8)
	return err != nil || first&2 != 0
}

// disks are the ids of built-in disks: one for each, the world-wide name
// before the serial number.
func disks(r *reader) []string {
	const dir = "sys/block/"
	var ids []string
	for _, disk := range r.names(dir[:len(dir)-1]) {
		if !r.builtIn(dir+disk) || r.text(dir+disk+"/removable") == "1" {
			continue
		}
		for _, file := range []string{"/wwid", "/device/wwid", "/device/serial", "/serial"} {
			if id := strings.Join(strings.Fields(r.text(dir+disk+file)), " "); numbered(id) {
				ids = append(ids, id)
				break
			}
		}
	}
	return ids
}

// numbered says whether an id has enough digits to be a number that a maker
// counts, rather than a name that a hypervisor's user chose.
func numbered(id string) bool {
	const enough = 4
	digits := 0
	for _, c := range id {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return digits >= enough && !placeholder(id)
}

// rootFilesystem is the id of the filesystem that is mounted at "/".
func rootFilesystem(r *reader) string {
	const byID = "dev/disk/by-uuid"
	device := ""
	for line := range strings.Lines(r.text("proc/mounts")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "/" && strings.HasPrefix(fields[0], "/dev/") {
			device = strings.TrimPrefix(fields[0], "/")
			break
		}
	}
	if device == "" {
		return ""
	}
	if target := r.link(device); target != "" { // such as /dev/mapper/root → ../dm-0
		device = target
	}
	for _, id := range r.names(byID) {
		if target := r.link(byID + "/" + id); target != "" && path.Base(target) == path.Base(device) {
			return id
		}
	}
	return ""
}

// processor is the first processor's model as /proc/cpuinfo tells it.
func processor(r *reader) string {
	// Where there is no model name, these together are the model.
	parts := []string{"CPU implementer", "CPU variant", "CPU part", "CPU revision"}
	said := map[string]string{}
	for line := range strings.Lines(r.text("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "model name" && value != "" {
			return value
		}
		if _, known := said[key]; !known {
			said[key] = value
		}
	}
	var model []string
	for _, part := range parts {
		if said[part] != "" {
			model = append(model, said[part])
		}
	}
	return strings.Join(model, " ")
}
