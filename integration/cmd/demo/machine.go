package main

// This file runs commands in hosts and containers, and shows them.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/integration/lab"
)

// demo is the lab with all that is shown in it.
type demo struct {
	*lab.Lab
	*page
	outside  *lab.Outside
	machines []*machine
	wires    *lab.Capture // on the underlay, since before the first port was plugged
}

// machine is a container and its port: a process in a network namespace of its own.
type machine struct {
	*lab.Workload
	ref string
	pid int

	// Set by plug, from `ovloom port show`.
	mac    string
	v4, v6 netip.Addr
}

// network returns the name of the machine's network.
func (m *machine) network() string { return m.ref[:strings.LastIndexByte(m.ref, '/')] }

// ovloom shows a command of the CLI on a host with its output.
func (d *demo) ovloom(ctx context.Context, h *lab.Host, args ...string) error {
	d.command(h.Name, append([]string{"ovloom"}, args...))
	out, err := h.Ovloom(ctx, args...)
	d.output(out)
	return err
}

// get runs a command of the CLI on a host without showing it, and decodes its JSON.
func (d *demo) get(ctx context.Context, h *lab.Host, into any, args ...string) error {
	out, err := h.Ovloom(ctx, append(args, "-o", "json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), into)
	}
	return err
}

// in shows a command in a machine with its output.
func (d *demo) in(ctx context.Context, m *machine, args ...string) error {
	d.command(m.ref, args)
	out, err := m.Exec(ctx, args...)
	// Without the empty line in the middle of ping's output.
	d.output(strings.ReplaceAll(out, "\n\n", "\n"))
	return err
}

// container starts a container on a host, for a port.
func (d *demo) container(ctx context.Context, h *lab.Host, ref string) (*machine, error) {
	w, err := h.NewWorkload(ctx, strings.ReplaceAll(ref, "/", "-"))
	if err != nil {
		return nil, err
	}
	p, err := w.Start(ctx, "container", "sleep", "infinity")
	if err != nil {
		return nil, err
	}
	m := &machine{Workload: w, ref: ref, pid: p.Pid()}
	d.machines = append(d.machines, m)
	return m, nil
}

// learn reads the machine's MAC and addresses.
func (d *demo) learn(ctx context.Context, m *machine) error {
	var port struct {
		MAC       string
		Addresses []netip.Addr
	}
	if err := d.get(ctx, m.Host, &port, "port", "show", m.ref); err != nil {
		return err
	}
	m.mac = port.MAC
	for _, a := range port.Addresses {
		if a.Is4() {
			m.v4 = a
		} else {
			m.v6 = a
		}
	}
	if !m.v4.IsValid() || !m.v6.IsValid() {
		return fmt.Errorf("port %s should have an IPv4 and an IPv6 address, and has %v", m.ref, port.Addresses)
	}
	return nil
}

// find returns the machine of a port.
func (d *demo) find(ref string) *machine {
	for _, m := range d.machines {
		if m.ref == ref {
			return m
		}
	}
	panic("there is no machine " + ref)
}

// members returns the machines of a network.
func (d *demo) members(network string) []*machine {
	var list []*machine
	for _, m := range d.machines {
		if m.network() == network {
			list = append(list, m)
		}
	}
	return list
}

// drops returns the number of packets that a host has dropped for a reason.
func (d *demo) drops(ctx context.Context, h *lab.Host, reason string) (int, error) {
	var status struct {
		Drops []struct {
			Reason  string
			Packets int
		}
	}
	if err := d.get(ctx, h, &status, "status"); err != nil {
		return 0, err
	}
	for _, x := range status.Drops {
		if x.Reason == reason {
			return x.Packets, nil
		}
	}
	return 0, nil
}

// vni returns the VNI of a network.
func (d *demo) vni(ctx context.Context, network string) (uint32, error) {
	var n struct{ VNI uint32 }
	err := d.get(ctx, d.Hosts[0], &n, "network", "show", network)
	if err == nil && n.VNI == 0 {
		err = errors.New("network " + network + " has no VNI")
	}
	return n.VNI, err
}
