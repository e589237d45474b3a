// Examining the paths to the other hosts, for ovloom doctor.

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/doctor"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/pki"
)

const (
	examineTime   = 12 * time.Second       // for one host's part of an examination
	reportTime    = 15 * time.Second       // how long the hosts' reports are waited for
	reportPoll    = 100 * time.Millisecond // how often it is looked for them
	probesQueued  = 4096                   // packets that wait to be taken in
	certificateTo = 30 * 24 * time.Hour    // how long a certificate should still be valid
)

// doctorLink probes the other hosts and answers their probes. It has a connection to
// the switch of its own, so that probes do not wait for flows, nor flows for probes.
type doctorLink struct {
	*daemon
	prober  *doctor.Prober
	packets chan of.PacketIn
}

func newDoctorLink(d *daemon) *doctorLink {
	l := &doctorLink{daemon: d, packets: make(chan of.PacketIn, probesQueued)}
	l.prober = doctor.NewProber(l.send)
	return l
}

// keep answers probes and examines the paths whenever some host asks for it, until
// ctx ends.
func (l *doctorLink) keep(ctx context.Context) error {
	go l.receive(ctx)
	go l.watch(ctx)
	// Without a log: the other connection to the same switch tells how that is.
	_ = ofconn.Keep(ctx, l.link.Addr(), ofconn.Config{ControllerID: pipeline.ProbeController, PacketIns: l.packets},
		func(ctx context.Context, _ *ofconn.Conn) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	return nil
}

// receive takes in what came through the tunnel.
func (l *doctorLink) receive(ctx context.Context) {
	for {
		select {
		case p := <-l.packets:
			from, ok := tunnelSource(p.Metadata)
			if !ok {
				continue
			}
			if err := l.prober.Receive(ctx, from, p.Packet, p.FullLen); err != nil && ctx.Err() == nil {
				l.log.Debug("probe not answered", "from", from, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// tunnelSource returns the VTEP that a packet came from.
func tunnelSource(m of.Match) (netip.Addr, bool) {
	for _, t := range m.Terms {
		if t.Field == of.FieldTunSrc {
			v := t.Value.Uint64()
			return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
		}
	}
	return netip.Addr{}, false
}

// send sends frames through the tunnel.
func (l *doctorLink) send(ctx context.Context, packets []doctor.Packet) error {
	conn, err := l.link.Conn()
	if err != nil {
		return err
	}
	tunnel := l.link.Tunnel()
	var out []of.PacketOut
	for _, p := range packets {
		out = append(out, of.PacketOut{Packet: p.Frame, Actions: []of.Action{
			of.Set(of.FieldTunID, intent.VNIProbe), of.SetAddr(of.FieldTunDst, p.To), of.Output{Port: tunnel}}})
	}
	return conn.PacketOut(ctx, out...)
}

// watch takes part in every examination that some host asks for.
func (l *doctorLink) watch(ctx context.Context) {
	loop.Watch(ctx, l.log, "examinations", func(ctx context.Context) error {
		return l.store.WatchExaminations(ctx, func(run uint64) {
			go func() {
				ctx, cancel := context.WithTimeout(ctx, examineTime)
				defer cancel()
				if err := l.examine(ctx, run); err != nil && ctx.Err() == nil {
					l.log.Warn("cannot report to an examination", "error", err)
				}
			}()
		})
	})
}

// examine does this host's part of an examination.
func (l *doctorLink) examine(ctx context.Context, run uint64) error {
	hosts, err := l.store.Hosts(ctx)
	if err != nil {
		return err
	}
	var alive []intent.Host
	for _, h := range hosts {
		if h.Alive {
			alive = append(alive, h.Host)
		}
	}
	return l.store.AnswerExamination(context.WithoutCancel(ctx), run, l.report(ctx, run, alive))
}

// report examines this host and its paths to others.
func (l *doctorLink) report(ctx context.Context, run uint64, hosts []intent.Host) intent.HealthReport {
	start, self := time.Now(), l.presence.Host()
	report := intent.HealthReport{Host: self.Name, VXLANPort: l.cfg.VXLANPort}
	var targets []doctor.Target
	for _, h := range hosts {
		if h.Name != self.Name {
			targets = append(targets, doctor.Target{Host: h.Name, VTEP: h.VTEP, Wanted: doctor.Wanted(self, h)})
		}
	}
	report.Paths = l.prober.Examine(ctx, run, targets)
	report.Findings = append(l.examineHost(), l.examineNeighbours(ctx, hosts)...)
	report.Took = time.Since(start)
	l.log.Info("examined the paths to the other hosts", "hosts", len(targets), "findings", len(report.Findings), "took", report.Took.Round(time.Millisecond))
	return report
}

// health implements api.Backend.
func (l *doctorLink) health(ctx context.Context) (intent.Health, error) {
	run := rand.Uint64()
	if err := l.store.AskExamination(ctx, l.cfg.HostName, run); err != nil {
		if intent.KindOf(err) != intent.Unavailable || ctx.Err() != nil {
			return intent.Health{}, err
		}
		return l.alone(ctx, run), nil
	}
	deadline := time.Now().Add(reportTime)
	for {
		waiting, err := l.silent(ctx, run)
		if err != nil {
			return intent.Health{}, err
		}
		if len(waiting) == 0 || time.Now().After(deadline) {
			break
		}
		select {
		case <-time.After(reportPoll):
		case <-ctx.Done():
			return intent.Health{}, ctx.Err()
		}
	}
	hosts, err := l.store.Hosts(ctx)
	if err != nil {
		return intent.Health{}, err
	}
	networks, err := l.networks(ctx)
	if err != nil {
		return intent.Health{}, err
	}
	reports, err := l.store.ExaminationReports(ctx, run)
	if err != nil {
		return intent.Health{}, err
	}
	return doctor.Judge(hosts, networks, reports), nil
}

// alone is an examination without the store: of this host, and of its paths to the
// hosts that it remembers. Those answer probes without it.
func (l *doctorLink) alone(ctx context.Context, run uint64) intent.Health {
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	copied, _ := l.store.CopiedHosts() // without a copy there is nobody to ask
	return doctor.JudgeAlone(copied.Hosts, l.report(ctx, run, copied.Hosts), errors.New("the store does not answer"))
}

// silent returns the live hosts that have not reported.
func (l *doctorLink) silent(ctx context.Context, run uint64) ([]string, error) {
	hosts, err := l.store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	reported, err := l.store.ExaminationAnswered(ctx, run)
	var waiting []string
	for _, h := range hosts {
		if h.Alive && !slices.Contains(reported, h.Name) {
			waiting = append(waiting, h.Name)
		}
	}
	return waiting, err
}

// networks returns the networks of all tenants.
func (l *doctorLink) networks(ctx context.Context) ([]intent.Network, error) {
	tenants, err := l.store.Tenants(ctx)
	var all []intent.Network
	for _, t := range tenants {
		some, err := l.store.Networks(ctx, t.Name)
		if err != nil && intent.KindOf(err) != intent.NotFound { // it was deleted meanwhile
			return nil, err
		}
		all = append(all, some...)
	}
	return all, err
}

// examineHost looks for what is wrong on this host alone.
func (d *daemon) examineHost() []intent.Finding {
	var list []intent.Finding
	find := func(do, what string, args ...any) {
		list = append(list, intent.Finding{Hosts: []string{d.cfg.HostName}, What: fmt.Sprintf(what, args...), Do: do})
	}
	if u := d.agent.Underlay(d.host.VTEP); u.Fault != "" {
		find("on "+d.cfg.HostName+": "+u.Do, "on %s: %s", d.cfg.HostName, u.Fault)
	}
	for _, check := range []func(func(do, what string, args ...any)) error{d.examineTunnel, d.examineOffloads} {
		if err := check(find); err != nil {
			d.log.Warn("an examination of this host is not whole", "error", err)
			find("see the log of its ovloomd", "host %s could not be examined: %v", d.cfg.HostName, err)
		}
	}
	for _, f := range d.exit.CutOff() {
		do := f.Do
		if !f.ByHand {
			do = "ovloom status --fix on " + d.cfg.HostName + ", or by hand: " + do
		}
		find(do, "tenants cannot leave through %s: %s", d.cfg.HostName, f.What)
	}
	d.examineCertificate(time.Now(), find)
	return list
}

// examineNeighbours looks for the next hops of the tunnels to other hosts. They were asked
// for just now, if they were not known: probes have been sent there.
func (d *daemon) examineNeighbours(ctx context.Context, hosts []intent.Host) []intent.Finding {
	known, err := d.dp.Neighbours(ctx) // none on Linux's own datapath
	if err != nil {
		return nil // ovs-vswitchd is away: the paths tell
	}
	var hops []doctor.Hop
	for _, h := range hosts {
		if h.Name == d.cfg.HostName {
			continue
		}
		hop := doctor.Hop{Host: h}
		if hop.Addr, hop.Link, err = hostnet.NextHop(h.VTEP); err != nil || !hop.Addr.IsValid() {
			continue // without a route nothing passes: the paths tell
		}
		for _, c := range d.neighbours.Changed() {
			if c.Addr == hop.Addr {
				hop.MAC, hop.Was = c.MAC, c.Was
			}
		}
		for _, n := range known {
			if n.Addr == hop.Addr && hop.MAC == "" {
				hop.MAC = n.MAC
			}
		}
		if d.datapath == ovsdb.DatapathSystem {
			if hop.MAC, err = hostnet.NeighbourMAC(hop.Link, hop.Addr); err != nil {
				d.log.Warn("cannot read the neighbours of the underlay", "error", err)
				continue
			}
		}
		hops = append(hops, hop)
	}
	return doctor.Neighbours(d.cfg.HostName, hops)
}

// examineTunnel looks for others that use the tunnels' UDP port.
func (d *daemon) examineTunnel(find func(do, what string, args ...any)) error {
	host, port := d.cfg.HostName, d.cfg.VXLANPort
	for _, i := range d.db.Interfaces(d.cfg.Bridge) {
		if i.Name == d.cfg.VXLANName && i.Error != "" {
			find(fmt.Sprintf("see what else uses UDP port %d: ovs-vsctl find interface type=vxlan; ip -d link show type vxlan", port),
				"Open vSwitch on %s cannot open the tunnel port %s: %s", host, i.Name, i.Error)
		}
	}
	sockets, err := hostnet.UDPSockets(port)
	for _, s := range sockets {
		who := "another program"
		if s.PID != 0 {
			who = fmt.Sprintf("%s (process %d)", s.Program, s.PID)
		}
		find(fmt.Sprintf("stop it or give it another port; or give every ovloomd another --vxlan-port than %d", port),
			"UDP port %d of %s, which the tunnels use, is taken by %s", port, host, who)
	}
	devices, devErr := hostnet.VXLANDevices(port)
	for _, name := range devices {
		find(fmt.Sprintf("delete it (ip link del %s), or make it anew with another dstport; or give every ovloomd another --vxlan-port than %d", name, port),
			"UDP port %d of %s, which the tunnels use, is taken by VXLAN device %s of the kernel", port, host, name)
	}
	return errors.Join(err, devErr)
}

// examineOffloads looks for workloads that leave checksums to a network card which
// the userspace datapath does not have.
func (d *daemon) examineOffloads(find func(do, what string, args ...any)) error {
	if d.datapath != ovsdb.DatapathNetdev {
		return nil
	}
	var names []string
	ports := map[string]string{}
	for _, i := range d.db.Interfaces(d.cfg.Bridge) {
		if i.IfaceID != "" {
			names = append(names, i.Name)
			ports[i.Name] = i.IfaceID
			if i.PluggedFor != "" {
				ports[i.Name] = i.PluggedFor
			}
		}
	}
	taps, tapErr := hostnet.TapsLeavingChecksums(names)
	for _, name := range taps {
		find("on "+d.cfg.HostName+", "+hostnet.GuestAdvice,
			"the guest of port %s on %s may leave checksums to its tap %s (%s is on): ping works, TCP and UDP do not", ports[name], d.cfg.HostName, name, "tx-checksum-ip-generic")
	}
	ends, err := hostnet.ReadPeerEnds(names)
	for _, name := range names {
		end, ok := ends[name]
		if !ok || !end.ChecksumsLeft {
			continue
		}
		find(fmt.Sprintf("on %s: nsenter --net=%s ethtool -K %s tx off", d.cfg.HostName, end.Namespace, end.Name),
			"port %s on %s leaves checksums to a network card (interface %s has tx offload on): ping works, TCP does not", ports[name], d.cfg.HostName, end.Name)
	}
	return errors.Join(err, tapErr)
}

// examineCertificate looks for a certificate that is not valid, or not for long.
func (d *daemon) examineCertificate(now time.Time, find func(do, what string, args ...any)) {
	if d.cfg.StoreCert == "" {
		return
	}
	f := pki.Files{CA: d.cfg.StoreCA, Cert: d.cfg.StoreCert, Key: d.cfg.StoreKey}
	err := f.Valid(now)
	if err == nil {
		err = f.Valid(now.Add(certificateTo))
	}
	var told *intent.Error
	switch {
	case errors.As(err, &told):
		find(strings.TrimSpace(told.Hint), "on %s: %s", d.cfg.HostName, told.What)
	case err != nil:
		find("see whether ovloomd may read it", "on %s: %v", d.cfg.HostName, err)
	}
}
