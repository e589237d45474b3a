package router

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// An address that comes to an uplink is announced several times, a second apart; the first
// announcement comes with a request for the gateway's MAC, which is repeated periodically.
func TestAddressesAreAnnouncedOnUplinks(t *testing.T) {
	r := testRouter(t)
	external := &intent.External{Name: "campus", Number: 3, Kind: intent.ExternalBridge, Gateway: netip.MustParseAddr("203.0.113.1")}
	r.table.SetUplink(nil, &pipeline.ExternalView{External: *external, OFPort: 30})
	address := &pipeline.AddressView{Address: netip.MustParseAddr("203.0.113.10"), External: external, Here: true, Router: intent.RouterMAC(1)}
	r.table.SetAddress(nil, address)
	start := time.Now()
	said := func(after time.Duration) (announced, asked int) {
		t.Helper()
		for _, o := range r.due(start.Add(after)) {
			n, err := packet.ParseNeighbour(o.Packet)
			switch {
			case err != nil || n.Answer || n.MAC != intent.RouterMAC(1) || n.Sender != address.Address:
				t.Errorf("says %+v, %v", n, err)
			case n.Target == n.Sender:
				announced++
			case n.Target == external.Gateway:
				asked++
			}
		}
		return announced, asked
	}
	for i := range announceTimes {
		want := 0
		if i == 0 {
			want = 1
		}
		if announced, asked := said(time.Duration(i) * announceEvery); announced != 1 || asked != want {
			t.Errorf("time %d: announced %d times, asked for the gateway %d times", i+1, announced, asked)
		}
		if announced, asked := said(time.Duration(i)*announceEvery + tick); announced+asked != 0 {
			t.Errorf("time %d: says it again at once", i+1)
		}
	}
	if announced, asked := said(gatewayEvery / 2); announced+asked != 0 {
		t.Errorf("later it announces %d times and asks %d times", announced, asked)
	}
	if announced, asked := said(gatewayEvery); announced != 0 || asked != 1 {
		t.Errorf("after a while it announces %d times and asks %d times", announced, asked)
	}
	r.table.SetAddress(address, nil)
	if announced, asked := said(2 * gatewayEvery); announced+asked != 0 {
		t.Errorf("without an address it announces %d times and asks %d times", announced, asked)
	}
}
