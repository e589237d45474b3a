package router

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// uplink is this host's attachment to an external of kind bridge, and the addresses
// that this host answers for there. Behind an external of kind host is the host itself,
// which needs no router.
type uplink struct {
	port      of.PortNo
	vlan      uint16 // 0: none
	gateway   netip.Addr
	addresses map[netip.Addr]int // the announcements left for each
}

// SetUplink replaces an external.
func (t *Table) SetUplink(old, now *pipeline.ExternalView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old != nil && (now == nil || now.External.VNI() != old.External.VNI()) {
		t.edit(old.External.VNI(), func(u *uplink) { u.port = 0 })
		delete(t.networks, old.External.VNI())
	}
	if now != nil && now.External.Kind == intent.ExternalBridge {
		t.edit(now.External.VNI(), func(u *uplink) {
			u.port, u.gateway, u.vlan = now.OFPort, now.External.Gateway, now.External.VLAN
		})
		t.networks[now.External.VNI()] = Network{VNI: now.External.VNI(), MTU: now.External.MTU} // for packets too large for it
	}
}

// SetAddress says that an external address has come to this host, or left it.
func (t *Table) SetAddress(old, now *pipeline.AddressView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := old != nil && old.Here && old.External.Kind == intent.ExternalBridge
	is := now != nil && now.Here && now.External.Kind == intent.ExternalBridge
	same := was && is && old.External.VNI() == now.External.VNI() && old.Router == now.Router
	if was && !same {
		t.edit(old.External.VNI(), func(u *uplink) { delete(u.addresses, old.Address) })
	}
	if is && !same {
		t.edit(now.External.VNI(), func(u *uplink) { u.addresses[now.Address] = announceTimes })
	}
}

// edit changes the state of one uplink. The caller holds mu.
func (t *Table) edit(vni uint32, change func(*uplink)) {
	u, ok := t.uplinks[vni]
	if !ok {
		u.addresses = map[netip.Addr]int{}
	}
	change(&u)
	if u.port == 0 && len(u.addresses) == 0 {
		delete(t.uplinks, vni)
		return
	}
	t.uplinks[vni] = u
}

// ask returns the question for a neighbour beyond an uplink, from an address of this
// host; nil: no uplink, or no address to ask from.
func (u uplink) ask(mac intent.MAC, target netip.Addr) []of.PacketOut {
	var sender netip.Addr
	for a := range u.addresses {
		if !sender.IsValid() || a.Less(sender) {
			sender = a
		}
	}
	if u.port == 0 || !sender.IsValid() {
		return nil
	}
	return u.out(packet.Ask(mac, sender, target))
}

// out sends a frame by the uplink.
func (u uplink) out(frame []byte) []of.PacketOut {
	return []of.PacketOut{{Packet: frame, InPort: of.PortController, Actions: pipeline.ToUplink(u.port, u.vlan)}}
}

// askBeyond asks for a neighbour beyond an external's uplink.
func (t *Table) askBeyond(vni uint32, target netip.Addr) []of.PacketOut {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.uplinks[vni].ask(t.mac, target)
}

// sayBeyond returns what is due on all uplinks: remaining announcements and, if
// gateways is set, questions for the gateways.
func (t *Table) sayBeyond(gateways bool) []of.PacketOut {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []of.PacketOut
	for _, u := range t.uplinks {
		if u.port == 0 {
			continue
		}
		fresh := false
		for a, left := range u.addresses {
			if left > 0 {
				out = append(out, u.out(packet.Announce(t.mac, a))...)
				fresh = fresh || left == announceTimes
				u.addresses[a] = left - 1
			}
		}
		if gateways || fresh {
			out = append(out, u.ask(t.mac, u.gateway)...)
		}
	}
	return out
}
