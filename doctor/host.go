package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// certificateTime is how much longer a certificate should be valid.
const certificateTime = 30 * 24 * time.Hour

// examineHost reports what is wrong on this host alone.
func (e *Examiner) examineHost() []intent.Finding {
	var list []intent.Finding
	find := func(do, what string, args ...any) {
		list = append(list, intent.Finding{Hosts: []string{e.cfg.Name}, What: fmt.Sprintf(what, args...), Do: do})
	}
	if fault, do := e.cfg.Underlay(); fault != "" {
		find("on "+e.cfg.Name+": "+do, "on %s: %s", e.cfg.Name, fault)
	}
	for _, check := range []func(func(do, what string, args ...any)) error{e.examineTunnel, e.examineOffloads} {
		if err := check(find); err != nil {
			e.cfg.Log.Warn("examination of this host is incomplete", "error", err)
			find("see the log of its ovloomd", "host %s could not be examined: %v", e.cfg.Name, err)
		}
	}
	for _, f := range e.cfg.CutOff() {
		do := f.Do
		if !f.ByHand {
			do = "ovloom status --fix on " + e.cfg.Name + ", or by hand: " + do
		}
		find(do, "tenants cannot leave through %s: %s", e.cfg.Name, f.What)
	}
	e.examineCertificate(time.Now(), find)
	return list
}

// examineNeighbours looks up the next hops of the tunnels to other hosts. The probes just
// sent have resolved those that were unknown.
func (e *Examiner) examineNeighbours(ctx context.Context, hosts []intent.Host) []intent.Finding {
	known, err := e.cfg.Neighbours(ctx) // none on the kernel datapath
	if err != nil {
		return nil // ovs-vswitchd is away: the paths' findings say so
	}
	var hops []Hop
	for _, h := range hosts {
		if h.Name == e.cfg.Name {
			continue
		}
		hop := Hop{Host: h}
		if hop.Addr, hop.Link, err = e.cfg.Host.NextHop(h.VTEP); err != nil || !hop.Addr.IsValid() {
			continue // without a route nothing passes: the paths' findings say so
		}
		for _, c := range e.cfg.Moved() {
			if c.Addr == hop.Addr {
				hop.MAC, hop.Was = c.MAC, c.Was
			}
		}
		for _, n := range known {
			if n.Addr == hop.Addr && hop.MAC == "" {
				hop.MAC = n.MAC
			}
		}
		if !e.cfg.Userspace {
			if hop.MAC, err = e.cfg.Host.NeighbourMAC(hop.Link, hop.Addr); err != nil {
				e.cfg.Log.Warn("cannot read the neighbours of the underlay", "error", err)
				continue
			}
		}
		hops = append(hops, hop)
	}
	return Neighbours(e.cfg.Name, hops)
}

// examineTunnel looks for other programs that use the tunnels' UDP port.
func (e *Examiner) examineTunnel(find func(do, what string, args ...any)) error {
	host, port := e.cfg.Name, e.cfg.VXLANPort
	for _, i := range e.cfg.Interfaces() {
		if i.Name == e.cfg.VXLANName && i.Error != "" {
			find(fmt.Sprintf("see what else uses UDP port %d: ovs-vsctl find interface type=vxlan; ip -d link show type vxlan", port),
				"Open vSwitch on %s cannot open the tunnel port %s: %s", host, i.Name, i.Error)
		}
	}
	sockets, err := e.cfg.Host.UDPSockets(port)
	for _, s := range sockets {
		who := "another program"
		if s.PID != 0 {
			who = fmt.Sprintf("%s (process %d)", s.Program, s.PID)
		}
		find(fmt.Sprintf("stop it or give it another port; or give every ovloomd another --vxlan-port than %d", port),
			"UDP port %d of %s, which the tunnels use, is taken by %s", port, host, who)
	}
	devices, devErr := e.cfg.Host.VXLANDevices(port)
	for _, name := range devices {
		find(fmt.Sprintf("delete it (ip link del %s), or make it anew with another dstport; or give every ovloomd another --vxlan-port than %d", name, port),
			"UDP port %d of %s, which the tunnels use, is taken by VXLAN device %s of the kernel", port, host, name)
	}
	return errors.Join(err, devErr)
}

// examineOffloads looks for workloads that leave checksums to a network card which
// the userspace datapath does not have.
func (e *Examiner) examineOffloads(find func(do, what string, args ...any)) error {
	if !e.cfg.Userspace {
		return nil
	}
	var names []string
	ports := map[string]string{}
	for _, i := range e.cfg.Interfaces() {
		if i.IfaceID != "" {
			names = append(names, i.Name)
			ports[i.Name] = i.IfaceID
			if i.PluggedFor != "" {
				ports[i.Name] = i.PluggedFor
			}
		}
	}
	taps, tapErr := e.cfg.Host.TapsLeavingChecksums(names)
	for _, name := range taps {
		find("on "+e.cfg.Name+", "+hostnet.GuestAdvice,
			"the guest of port %s on %s may leave checksums to its tap %s (%s is on): ping works, TCP and UDP do not", ports[name], e.cfg.Name, name, "tx-checksum-ip-generic")
	}
	ends, err := e.cfg.Host.ReadPeerEnds(names)
	for _, name := range names {
		end, ok := ends[name]
		if !ok || !end.ChecksumsLeft {
			continue
		}
		find(fmt.Sprintf("on %s: nsenter --net=%s ethtool -K %s tx off", e.cfg.Name, end.Namespace, end.Name),
			"port %s on %s leaves checksums to a network card (interface %s has tx offload on): ping works, TCP does not", ports[name], e.cfg.Name, end.Name)
	}
	return errors.Join(err, tapErr)
}

// examineCertificate checks whether the certificate is valid, and stays so for long
// enough.
func (e *Examiner) examineCertificate(now time.Time, find func(do, what string, args ...any)) {
	f := e.cfg.Certificate
	if f.Cert == "" {
		return
	}
	err := f.Valid(now)
	if err == nil {
		err = f.Valid(now.Add(certificateTime))
	}
	var told *intent.Error
	switch {
	case errors.As(err, &told):
		find(strings.TrimSpace(told.Hint), "on %s: %s", e.cfg.Name, told.What)
	case err != nil:
		find("see whether ovloomd may read it", "on %s: %v", e.cfg.Name, err)
	}
}
