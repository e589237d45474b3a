package datapath

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernel is generic netlink of the caller's network namespace.
type kernel struct{}

func (kernel) ask(family string, version, command uint8, payload []byte) ([]byte, error) {
	f, err := netlink.GenlFamilyGet(family)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("the kernel has no generic netlink family %s: its module openvswitch is not loaded", family)
	}
	if err != nil {
		return nil, fmt.Errorf("generic netlink family %s: %w", family, err)
	}
	request := nl.NewNetlinkRequest(int(f.ID), 0)
	request.AddData(&nl.Genlmsg{Command: command, Version: version})
	request.AddRawData(payload)
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, err
	}
	if len(answers) != 1 || len(answers[0]) < nl.SizeofGenlmsg {
		return nil, fmt.Errorf("the kernel gave %d answers, not one", len(answers))
	}
	return answers[0][nl.SizeofGenlmsg:], nil
}
