package exit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// Status is the state of the uplinks, for users.
type Status struct {
	Uplinks  []api.Uplink
	Warnings []api.Warning
}

// Status returns the state of the uplinks as of the last check.
func (r *Reconciler) Status() Status {
	seen := r.lastSeen()
	ofports := map[string]int{}
	errs := map[string]string{}
	for _, i := range r.deps.Switch.Interfaces(r.set.Bridge) {
		ofports[i.Name], errs[i.Name] = i.OFPort, i.Error
	}
	var s Status
	warn := func(w api.Warning) { s.Warnings = append(s.Warnings, w) }
	for _, e := range seen.config.Externals {
		port := r.portOf(e, seen.config.Externals)
		u := api.Uplink{External: e.Name, Via: e.Bridge, Interface: port, OFPort: uint32(max(ofports[port], 0)), Fault: errs[port]}
		if e.Kind == intent.ExternalHost {
			u.Via = viaHost
			u.Fault, u.Probe = intent.What(seen.err), seen.probe
			for _, f := range seen.faults {
				u.Fault = f.What
			}
		}
		if err := seen.uplinks[port]; err != nil {
			u.Fault = intent.What(err)
			// Not every host needs every bridge: a missing one is no warning.
			if intent.KindOf(err) != intent.NotFound {
				warn(warning(err))
			}
		}
		if e.Kind == intent.ExternalBridge && u.Fault == "" && u.OFPort != 0 && !r.leadsOn(e.Bridge) {
			u.Fault = fmt.Sprintf("bridge %s has no working port but ovloom's: it leads nowhere", e.Bridge)
			warn(api.Warning{
				What: fmt.Sprintf("external %s: %s", e.Name, u.Fault),
				Do:   fmt.Sprintf("add the card that leads outside: ovs-vsctl add-port %[1]s CARD; what is there shows ovs-vsctl list-ports %[1]s", e.Bridge)})
		}
		s.Uplinks = append(s.Uplinks, u)
		if e.Kind == intent.ExternalHost && e.Underlay == "" && len(seen.config.Underlays) > 0 {
			warn(api.Warning{
				What: fmt.Sprintf("external %s was made before tenants could be kept from the underlay, and lets them reach %s", e.Name, seen.config.Underlays[0]),
				Do:   fmt.Sprintf("ovloom external set %[1]s --underlay deny, or to keep it so: ovloom external set %[1]s --underlay allow", e.Name)})
		}
	}
	if seen.err != nil {
		warn(warning(seen.err))
	}
	for _, f := range seen.taken {
		warn(api.Warning{
			What: fmt.Sprintf("%s port %d is not forwarded from this host's own addresses: a program of the host serves it", f.Protocol, f.Port),
			Do:   "forward another port"})
	}
	for _, f := range seen.deaf {
		warn(api.Warning{
			What: fmt.Sprintf("a program listens on %s port %d of this host, which is forwarded into a port since before: nothing from elsewhere comes to it", f.Protocol, f.Port),
			Do:   "have the program use another port; or delete the forward, and add it again when the program listens"})
	}
	for _, f := range seen.faults {
		do := f.Do
		if !f.ByHand {
			do = "ovloom status --fix, or by hand: " + do
		}
		warn(api.Warning{What: f.What + ": tenants cannot leave through it", Do: do})
	}
	return s
}

// leadsOn reports whether a bridge leads anywhere: to a working port that is not ovloom's,
// or to the host itself, which has an address on it.
func (r *Reconciler) leadsOn(bridge string) bool {
	ours := ovsdb.Uplink{Name: r.bridgePorts(r.lastSeen().config.Externals)[bridge]}.Outer()
	return r.deps.Host.HasAddr(bridge) || slices.ContainsFunc(r.deps.Switch.Interfaces(bridge), func(i ovsdb.Interface) bool {
		return i.Name != ours && i.OFPort > 0
	})
}

// CutOff returns the faults that keep tenants from leaving through the host, as of the last
// check.
func (r *Reconciler) CutOff() []hostnet.ExitFault { return r.lastSeen().faults }

// warning turns an error into a warning.
func warning(err error) api.Warning {
	w := api.Warning{What: intent.What(err)}
	if e := new(intent.Error); errors.As(err, &e) {
		w.Do = e.Hint
	}
	return w
}
