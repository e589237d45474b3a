package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/digitalocean/go-openvswitch/ovsnl"
)

// kernel is the kernel's Open vSwitch, as the caller's network namespace sees it.
type kernel struct{}

// List connects anew for each call: the module may be loaded, or reloaded, later.
func (kernel) List() (_ []ovsnl.Datapath, err error) {
	c, err := ovsnl.New()
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the kernel has no generic netlink family ovs_datapath: its module openvswitch is not loaded (%w)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("generic netlink: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.Datapath.List()
}
