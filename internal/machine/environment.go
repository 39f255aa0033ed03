package machine

import (
	"io/fs"
	"slices"
	"strings"
)

// Environment says in people's words what kind of virtual machine or container
// the machine with root folder fsys is, such as "container (docker)"; empty if
// nothing shows. Its owner can hide it: it explains, and it weighs traits, but
// no right depends on it.
func Environment(fsys fs.FS) string {
	r := &reader{fsys: fsys}
	if kind := containerKind(r); kind != "" {
		return "container (" + kind + ")"
	}
	if kind := hypervisor(r); kind != "" {
		return "virtual machine (" + kind + ")"
	}
	return ""
}

// sign is a text and what it shows.
type sign struct{ text, kind string }

var (
	containerSigns = []sign{
		{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"},
		{"containerd", "containerd"}, {"lxc", "lxc"}, {"machine.slice/machine-", "nspawn"},
	}
	hypervisorSigns = []sign{
		{"QEMU", "QEMU"}, {"KVM", "KVM"}, {"VMware", "VMware"}, {"VirtualBox", "VirtualBox"}, {"innotek", "VirtualBox"},
		{"Xen", "Xen"}, {"Microsoft Corporation Virtual Machine", "Hyper-V"}, {"Parallels", "Parallels"},
		{"Google Compute Engine", "Google Cloud"}, {"Amazon EC2", "Amazon EC2"}, {"OpenStack", "OpenStack"},
		{"DigitalOcean", "DigitalOcean"}, {"Hetzner vServer", "Hetzner"}, {"Bochs", "Bochs"}, {"BHYVE", "bhyve"},
	}
)

// show is the kind of the first sign in text, empty if there is none.
func show(signs []sign, text string) string {
	for _, s := range signs {
		if strings.Contains(text, s.text) {
			return s.kind
		}
	}
	return ""
}

func containerKind(r *reader) string {
	for _, mark := range []sign{{".dockerenv", "docker"}, {"run/.containerenv", "podman"}} {
		if _, err := fs.Stat(r.fsys, mark.text); err == nil {
			return mark.kind
		}
	}
	return show(containerSigns, r.text("proc/1/cgroup"))
}

// hypervisor looks at the processor first: a metal server of a cloud has the
// cloud's name and no hypervisor. Where the processor does not say (it does on
// x86 only), the name decides.
func hypervisor(r *reader) string {
	name := show(hypervisorSigns, r.pair("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"))
	for line := range strings.Lines(r.text("proc/cpuinfo")) {
		if key, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			switch {
			case !slices.Contains(strings.Fields(flags), "hypervisor"):
				return ""
			case name == "":
				return "unknown kind"
			}
			return name
		}
	}
	if name == "" {
		name = r.text("sys/hypervisor/type")
	}
	return name
}
