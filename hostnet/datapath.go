package hostnet

// Which datapath the kernel supports.

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
)

// HasKernelDatapath reports whether the kernel has the openvswitch module. Asking loads
// the module, if it is installed.
func HasKernelDatapath() (bool, error) {
	_, err := netlink.GenlFamilyGet("ovs_datapath")
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask the kernel for the openvswitch module: %w", err)
	}
	return true, nil
}

// Datapath resolves the configured datapath: "auto" is "system", Linux's own, where the
// kernel has it, and "netdev", the userspace one, elsewhere.
func Datapath(kind string) (string, error) {
	if kind != "auto" {
		return kind, nil
	}
	has, err := HasKernelDatapath()
	if err != nil {
		return "", err
	}
	if has {
		return "system", nil
	}
	return "netdev", nil
}
