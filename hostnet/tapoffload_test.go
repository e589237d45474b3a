package hostnet

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The host detects that QEMU lets the guest send packets without checksums.
func TestTapsLeavingChecksums(t *testing.T) {
	const name = "doc-tap"
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR, Queues: 1, NonPersist: true}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skipf("cannot make a tap: %v", err)
	}
	defer netlink.LinkDel(link)
	addLink(t, "doc-veth")
	leaving := func(offload int, want ...string) {
		t.Helper()
		if err := unix.IoctlSetInt(int(link.Fds[0].Fd()), unix.TUNSETOFFLOAD, offload); err != nil {
			t.Fatal(err)
		}
		got, err := TapsLeavingChecksums([]string{name, "doc-veth", "lo", "doc-none"})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("with offloads %d: %v, %v; want %v", offload, got, err, want)
		}
		tap, err := CheckTap(name, false)
		if err != nil || tap.ChecksumsLeft != (len(want) > 0) {
			t.Errorf("with offloads %d: %+v, %v", offload, tap, err)
		}
	}
	leaving(0)
	leaving(1, name) // TUN_F_CSUM
	leaving(0)
}
