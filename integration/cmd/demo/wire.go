package main

// This file shows packets between hosts as they are on the wire.

import (
	"context"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/integration/lab"
)

// wire shows one ping of each tenant in its VXLAN packet: the inner addresses are the same, the
// VNI distinguishes them.
func (d *demo) wire(ctx context.Context) error {
	d.section("What is on the wire between two hosts")
	echoes, questions := d.wires.Count(lab.InsideAny(lab.IsEcho)), d.wires.Packets(lab.InsideAny(lab.IsResolution))
	switch {
	case echoes == 0:
		return errors.New("not one ping has crossed the underlay in a tunnel")
	case len(questions) > 0:
		return fmt.Errorf("address resolution crossed the underlay, which a host should have answered: %s", questions[0])
	}
	d.ok("%d pings and answers have crossed so far, and no question for an address: every host answers those itself\n", echoes)
	for _, tenant := range []string{"acme", "umbrella"} {
		from, to := d.find(tenant+"/web/c1"), d.find(tenant+"/web/c2")
		vni, err := d.vni(ctx, from.network())
		if err != nil {
			return err
		}
		wanted := lab.Inside(vni, requestTo(to.v4))
		d.wires.Reset()
		if _, err := from.Ping(ctx, to.v4); err != nil {
			return err
		}
		found := d.wires.Packets(wanted)
		if len(found) == 0 {
			return fmt.Errorf("no ping from %s to %s is among the %d packets on the underlay", from.ref, to.ref, d.wires.Count(nil))
		}
		if err := d.layers(found[0], from, to, vni); err != nil {
			return err
		}
	}
	d.ok("the same addresses inside, another VNI outside")
	return nil
}

// layers prints a VXLAN packet and checks each of its layers.
func (d *demo) layers(p lab.Packet, from, to *machine, vni uint32) error {
	inner := p.Inner
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"outer source address", p.IPSrc, from.Host.VTEP},
		{"outer destination address", p.IPDst, to.Host.VTEP},
		{"UDP port", p.DstPort, uint16(lab.VXLANPort)},
		{"VNI", p.VNI, vni},
		{"inner source MAC", inner.Src.String(), from.mac},
		{"inner destination MAC", inner.Dst.String(), to.mac},
		{"inner source address", inner.IPSrc, from.v4},
		{"inner destination address", inner.IPDst, to.v4},
	} {
		if check.got != check.want {
			return fmt.Errorf("the %s of the tunnel packet is %v, not %v", check.what, check.got, check.want)
		}
	}
	for _, line := range [][3]string{
		{"Ethernet", fmt.Sprintf("%s > %s", p.Src, p.Dst), fmt.Sprintf("%d bytes in all", p.Len)},
		{"IPv4", fmt.Sprintf("%s > %s", p.IPSrc, p.IPDst), fmt.Sprintf("%s > %s", d.hostOf(p.IPSrc), d.hostOf(p.IPDst))},
		{"UDP", fmt.Sprintf("%d > %d", p.SrcPort, p.DstPort), "VXLAN"},
		{"VXLAN", fmt.Sprintf("% x", p.Payload[:8]), fmt.Sprintf("VNI %d is %s", p.VNI, from.network())},
		{"  Ethernet", fmt.Sprintf("%s > %s", inner.Src, inner.Dst), fmt.Sprintf("%s > %s", from.ref, to.ref)},
		{"  IPv4", fmt.Sprintf("%s > %s", inner.IPSrc, inner.IPDst), fmt.Sprintf("time to live %d", inner.TTL)},
		{"  ICMP", fmt.Sprintf("type %d", inner.ICMPType), "echo request"},
	} {
		d.say(fmt.Sprintf("  %-11s %-42s %s", line[0], line[1], line[2]))
	}
	d.say("")
	return nil
}
