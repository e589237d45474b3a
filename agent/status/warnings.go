package status

// Warnings: what is wrong with the host, with remedies.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
)

// storeAdvice returns the remedy for a store that does not answer.
func storeAdvice(err error) string {
	var why *intent.Error
	if errors.As(err, &why) && errors.As(why.Err, &why) && why.Hint != "" { // the cause is known
		return why.Hint
	}
	return "see whether the host that runs the store is up; packets keep flowing"
}

// retried says when the next attempt to connect is due.
func retried(conn api.Connection) string {
	if conn.RetryAt.IsZero() {
		return ""
	}
	text := "; it is tried again at " + conn.RetryAt.UTC().Format("15:04:05Z")
	if conn.RetryError != "" {
		text += " (the last time: " + conn.RetryError + ")"
	}
	return text
}

// warnings is a list of warnings under construction.
type warnings []api.Warning

func (w *warnings) add(do, what string, args ...any) {
	*w = append(*w, api.Warning{What: fmt.Sprintf(what, args...), Do: do})
}

// warnings returns all warnings that the controller's status and the host give rise to.
func (h *Host) warnings(c controller.Status) []api.Warning {
	return slices.Concat(h.aboutConnections(c), h.aboutIntent(c), h.aboutHost(c), h.aboutPorts(c), aboutConflicts(c))
}

// aboutConnections warns of parts that do not answer.
func (h *Host) aboutConnections(c controller.Status) (w warnings) {
	for _, conn := range h.connections() {
		if conn.Connected {
			continue
		}
		switch conn.Name {
		case "store":
			w.add(storeAdvice(h.Presence.Down())+retried(conn), "%s", conn.Error)
		case "ovsdb":
			w.add("see whether ovsdb-server runs: systemctl status openvswitch-switch", "ovsdb-server does not answer: %s", conn.Error)
		case "openflow":
			w.add(keeper.HintVswitchd, "ovs-vswitchd does not answer: %s", conn.Error)
		}
	}
	if connected, _, _ := h.Presence.State(); !connected {
		for _, copied := range []struct {
			what    string
			missing bool
		}{{"the list of hosts", c.NoHosts}, {"what tenants are kept from", c.NoGuard}} {
			if copied.missing {
				w.add("see that the store is back; until then the switch keeps the flows that it has",
					"the copy of %s on disk is damaged and the store does not answer: nothing is done on this host", copied.what)
			}
		}
	}
	return w
}

// aboutIntent warns of intent that this host cannot carry out.
func (h *Host) aboutIntent(c controller.Status) (w warnings) {
	for _, t := range c.Tenants {
		if t.Unlimited {
			w.add("ovloom nat snat set "+t.Name+" --max-connections N",
				"nothing bounds the connections of tenant %s through NAT: they can take the connection table and the source ports that all tenants share", t.Name)
		}
	}
	for _, l := range h.Follows.LeftOut() {
		w.add(l.Do(), "%s in the store cannot be used: %s", l.Object, l.Why)
	}
	for _, l := range c.LeftOut {
		w.add(l.Do, "%s is left out on this host: %s", l.Object, l.Why)
	}
	for _, t := range c.Missing {
		w.add("see that the store is back; until then a crash of ovs-vswitchd takes what is left of it",
			"the copy of tenant %s on disk is damaged and the store does not answer: its flows stay as they are", t)
	}
	if c.LastError != "" {
		w.add("see the log of ovloomd; it tries again by itself", "the switch could not be brought up to date: %s", c.LastError)
	}
	return w
}

// aboutHost warns of the bridges and of the host's own network.
func (h *Host) aboutHost(c controller.Status) (w warnings) {
	if err := h.BridgesFault(); err != nil {
		w.add(cmp.Or(hintOf(err), "see the log of ovloomd; it tries again by itself"), "the bridges cannot be put right: %s", intent.What(err))
	}
	for _, clash := range c.Clashes {
		w.add("change one of them, and report this: ovloom should have refused it", "%s", clash)
	}
	if u := h.Agent.Underlay(h.Config.Host.VTEP); u.Fault != "" {
		w.add(u.Do, "%s", u.Fault)
	}
	if err := h.CardFault(); err != nil {
		w.add(hintOf(err), "%s", intent.What(err))
	}
	if h.ApartFault != nil {
		if err := h.ApartFault(); err != nil {
			w.add(cmp.Or(hintOf(err), "see the log of ovloomd; it tries again every 10 seconds"),
				"this host's own network is not kept apart from its ports, which may reach what the host routes to: %s", err)
		}
	}
	return w
}

// aboutPorts warns of interfaces that cannot carry their ports.
func (h *Host) aboutPorts(c controller.Status) (w warnings) {
	states := h.Agent.States()
	for _, name := range slices.Sorted(maps.Keys(states)) {
		w.add(states[name].Do, "port %s (interface %s): %s", states[name].Port, name, states[name].What)
	}
	plugged := map[string]string{} // port names of interfaces that ovloom plugged, by the interface's UUID
	for _, i := range h.Database.Interfaces(h.Bridge) {
		plugged[i.UUID] = i.PluggedFor
	}
	for _, p := range c.Ports {
		switch {
		case p.Known && states[p.Name].What != "": // covered by its state
		case p.Error != "":
			w.add("see whether the interface exists: ip link show "+p.Name, "Open vSwitch cannot open interface %s of %s: %s", p.Name, portName(p), p.Error)
		case p.Refused != "":
			w.add(fmt.Sprintf("unplug it here (ovloom port unplug %s) or there, or plug it here again with --take", p.Ref),
				"interface %s cannot be used for its port: %s", p.Name, p.Refused)
		case p.Pending: // waiting for the store: the interface is not at fault
		case !p.Known && plugged[p.UUID] != "":
			w.add("ovloom port unplug "+plugged[p.UUID],
				"interface %s was plugged for port %s, which was deleted", p.Name, plugged[p.UUID])
		case !p.Known:
			w.add(fmt.Sprintf("add the port, or remove the interface: ovs-vsctl del-port %s %s", h.Bridge, p.Name),
				"interface %s names a port that does not exist: %s", p.Name, p.IfaceID)
		}
	}
	return w
}

// aboutConflicts warns of ports that are plugged more than once.
func aboutConflicts(c controller.Status) (w warnings) {
	for _, x := range c.Conflicts {
		var hosts []string
		for _, b := range x.Claims {
			hosts = append(hosts, b.Host)
		}
		if len(hosts) > 1 {
			w.add(fmt.Sprintf("unplug it on %s", strings.Join(hosts[1:], ", ")),
				"port %s is plugged on %s; %s has it", x.Ref, strings.Join(hosts, " and "), hosts[0])
		}
		if len(x.Interfaces) > 1 {
			w.add("remove all but one from the bridge", "several interfaces here name port %s: %s", x.Ref, strings.Join(x.Interfaces, ", "))
		}
	}
	return w
}

// hintOf returns the hint of an error.
func hintOf(err error) string {
	var told *intent.Error
	if errors.As(err, &told) {
		return told.Hint
	}
	return ""
}
