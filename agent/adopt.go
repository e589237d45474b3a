package agent

// Records of what an ovloomd has plugged that kept none.

import (
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// adopt makes records of interfaces that the switch says ovloom has plugged and that are
// on no record. What it had set inside is not known: it counts as set what is wanted when
// the store first tells.
func (a *Agent) adopt() {
	for _, i := range a.cfg.Switch.Interfaces(a.cfg.Bridge) {
		if i.PluggedFor == "" || i.IfaceID == "" {
			continue
		}
		if _, ok := a.records.get(i.IfaceID); ok {
			continue
		}
		r, err := a.recordOf(i)
		if err == nil {
			err = a.records.put(r)
		}
		if err != nil {
			// Such as one whose namespace has ended: judgeOthers tells of it.
			a.log.Info("plugged interface has no record", "interface", i.Name, "port", i.PluggedFor, "error", err)
			continue
		}
		a.log.Info("plugged interface recorded", "interface", i.Name, "port", i.PluggedFor, "in", r.where())
	}
}

// recordOf returns a record of an interface as it is.
func (a *Agent) recordOf(i ovsdb.Interface) (Record, error) {
	r := Record{Version: recordVersion, Port: i.IfaceID, Ref: i.PluggedFor, Kind: KindTap, Interface: i.Name, IfIndex: i.IfIndex, MTU: i.MTU}
	if _, err := intent.ParsePortRef(r.Ref); err != nil {
		return r, err
	}
	if i.Name != hostnet.HostIfName(i.IfaceID) {
		return r, nil
	}
	t, place, ifname, err := a.cfg.Network.FindEnd(i.Name)
	if err != nil {
		return r, err
	}
	r.Kind, r.Netns, r.PID, r.Place, r.Ifname = KindNetns, t.Netns, t.PID, place, ifname
	if t.PID != 0 {
		r.Kind = KindProcess
	}
	return r, nil
}
