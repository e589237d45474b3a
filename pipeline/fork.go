package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// fork parts the ways of unicast and everything else.
var fork = &Table{
	ID:      idFork,
	Name:    "fork",
	Purpose: "Send broadcast and multicast to flood, unicast to fdb.",
	Reads:   []of.Field{of.FieldReg0, of.FieldEthDst},
	Writes:  []of.Field{of.FieldReg15},
	Next:    []*Table{fdb, flood, drop},
}

// multicast matches all that is not for one receiver, broadcast included.
var multicast = of.MACMasked(of.FieldEthDst, intent.MAC{0: 1}, intent.MAC{0: 1})

func forkBase(r rules) {
	r.add(fork, 40, "a MAC beyond the port's learn limit",
		on(flagLearnOK.is(1), flagLearned.is(0)), because(ReasonLearnLimit)...)
	// 01:80:c2:00:00:00 to 0f stay on the link.
	r.add(fork, 30, "bridges do not forward this",
		on(of.MACMasked(of.FieldEthDst,
			intent.MAC{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00},
			intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0})), because(ReasonReservedMAC)...)
	r.add(fork, 20, "broadcast or multicast",
		on(multicast), to(flood))
	r.add(fork, 0, "unicast", on(), to(fdb))
}
