package agent

// Records for interfaces plugged by an ovloomd that kept no records.

import (
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// adopt writes records for interfaces that, by the switch's database, ovloom has plugged but
// that have no record. What was configured in their namespaces is unknown; the first wanted
// configuration that the store delivers counts as configured.
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
			// For example, its namespace has ended: judgeOthers reports it.
			a.log.Info("plugged interface has no record", "interface", i.Name, "port", i.PluggedFor, "error", err)
			continue
		}
		a.log.Info("plugged interface recorded", "interface", i.Name, "port", i.PluggedFor, "in", r.where())
	}
}

// recordOf returns a record that describes an interface as it is now.
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
