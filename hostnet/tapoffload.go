package hostnet

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// guestChecksums is the feature of a tap whose guest need not compute checksums: QEMU
// switches it on (TUNSETOFFLOAD) when the guest's virtio driver has negotiated it.
const guestChecksums = "tx-checksum-ip-generic"

// GuestAdvice says how to stop a guest from leaving checksums to its tap.
const GuestAdvice = "in the guest, with the name that its interface has there: `ethtool -K eth0 tx off`; " +
	"or for libvirt, in <driver> of the interface: <host csum='off'/><guest csum='off'/>"

// TapsLeavingChecksums returns, of some interfaces, the taps whose guest may leave
// checksums to them. What the guest itself has switched off cannot be seen from
// outside.
func TapsLeavingChecksums(names []string) ([]string, error) {
	var leaving []string
	var errs []error
	for _, name := range names {
		l, err := linkByName(name)
		if err != nil || l == nil {
			errs = append(errs, err) // nil: it has gone
			continue
		}
		leaves, err := leavesChecksums(l)
		if err != nil {
			errs = append(errs, err)
		}
		if leaves {
			leaving = append(leaving, name)
		}
	}
	return leaving, errors.Join(errs...)
}

func leavesChecksums(l netlink.Link) (leaves bool, err error) {
	name := l.Attrs().Name
	if t, ok := l.(*netlink.Tuntap); !ok || t.Mode != netlink.TUNTAP_MODE_TAP {
		return false, nil
	}
	err = withEthtool(func(e *ethtool.Ethtool) error {
		features, err := e.Features(name)
		leaves = features[guestChecksums]
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read offloads of %s: %w", name, err)
	}
	return leaves, nil
}
