// The state of this host, for people.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
)

// statusParts are the answers that a status is made of, as they were last.
type statusParts struct {
	controller lastKnown[controller.Status]
	version    lastKnown[ovsdb.Version]
	drops      lastKnown[[]api.Drop]
	cache      lastKnown[datapath.CacheStats]
}

// status implements api.Backend. It answers while any of the others is down or hangs:
// what they do not tell in time is what they told last, and is marked so.
func (d *daemon) status(ctx context.Context) (api.Status, error) {
	var known answer[controller.Status]
	var version answer[ovsdb.Version]
	var drops answer[[]api.Drop]
	var cache answer[datapath.CacheStats]
	var asking sync.WaitGroup
	asking.Go(func() { known = d.parts.controller.ask(ctx, d.controller.Status) })
	asking.Go(func() { version = d.parts.version.ask(ctx, d.db.Version) })
	asking.Go(func() { drops = d.parts.drops.ask(ctx, d.drops) })
	asking.Go(func() { cache = d.parts.cache.ask(ctx, d.dp.CacheStats) })
	asking.Wait()
	c := known.Value
	s := api.Status{
		Version: api.BuildVersion(), Host: d.cfg.HostName, VTEP: d.host.VTEP,
		Datapath: d.datapath, Bridge: d.cfg.Bridge, OVSVersion: version.Value.OVS,
		Started: d.started, Uptime: int64(time.Since(d.started).Seconds()),
		Connections: d.connections(),
		Resync:      api.Resync{At: c.LastResync, Messages: c.LastResyncMods},
		Flows:       c.Flows, Groups: c.Groups,
		Drops: drops.Value,
	}
	u := d.agent.Underlay(d.host.VTEP)
	s.Underlay = api.Underlay{Interface: u.Interface, MTU: u.MTU, Fault: u.Fault}
	var late []api.Warning
	stale := func(part, subject string, at time.Time, err error, do string) {
		s.Stale = append(s.Stale, api.Stale{Part: part, At: at})
		what := "no answer yet about " + subject
		if !at.IsZero() {
			what = fmt.Sprintf("%s: as of %s, for there is no newer answer", subject, at.UTC().Format("15:04:05Z"))
		}
		if err != nil {
			what += ": " + intent.What(err)
		}
		late = append(late, api.Warning{What: what, Do: do})
	}
	if known.Stale {
		stale("controller", "ports and flows", known.At, known.Err, "see whether ovs-vswitchd and ovsdb-server answer: ovs-vsctl -t 5 show")
	}
	if version.Stale && s.OVSVersion == "" {
		stale("ovs_version", "the version of Open vSwitch", version.At, version.Err, "")
	}
	if drops.Stale && c.Connected {
		stale("drops", "what is dropped", drops.At, drops.Err, "see whether ovs-vswitchd answers: ovs-ofctl show "+d.cfg.Bridge)
	}
	if v := cache.Value; !cache.Stale || !cache.At.IsZero() {
		s.Cache = &api.Cache{Hits: v.Hits, Misses: v.Misses, Lost: v.Lost, Flows: v.Flows, Masks: v.Masks, MaskHits: v.MaskHits}
	}
	if cache.Stale { // what is dropped is then stale, too, and the warning about that is enough
		s.Stale = append(s.Stale, api.Stale{Part: "cache", At: cache.At})
	}
	for _, t := range c.Tenants {
		s.Tenants = append(s.Tenants, t.Name)
		s.Revision = max(s.Revision, t.Applied)
	}
	states := d.agent.States()
	for _, p := range c.Ports {
		state := states[p.Name]
		s.Ports = append(s.Ports, api.BoundPort{
			Port: portName(p), Interface: p.Name, OFPort: uint32(p.OFPort), Up: p.InForce && p.Installed && !state.Down, Fault: state.What})
		delete(states, p.Name)
	}
	for name, state := range states { // what the switch has lost
		s.Ports = append(s.Ports, api.BoundPort{Port: state.Port, Interface: name, Fault: state.What})
	}
	slices.SortFunc(s.Ports, func(a, b api.BoundPort) int {
		return cmp.Or(strings.Compare(a.Port, b.Port), strings.Compare(a.Interface, b.Interface))
	})
	for _, x := range c.Conflicts {
		conflict := api.Conflict{Port: x.Ref.String(), Interfaces: x.Interfaces}
		for _, b := range x.Claims {
			conflict.Claims = append(conflict.Claims, api.Claim{Host: b.Host, Generation: b.Generation, Up: b.Up})
		}
		s.Conflicts = append(s.Conflicts, conflict)
	}
	s.Warnings = slices.Concat(late, d.warnings(c), d.fairWarnings(c))
	ways := d.exit.Status()
	s.Uplinks, s.Warnings = ways.Uplinks, append(s.Warnings, ways.Warnings...)
	s.LeftOut = []api.LeftOut{}
	for _, l := range d.store.LeftOut() {
		s.LeftOut = append(s.LeftOut, api.LeftOut{Key: l.Key, Object: l.Object, Reason: l.Why, Newer: l.Newer})
	}
	for _, l := range c.LeftOut {
		s.LeftOut = append(s.LeftOut, api.LeftOut{Object: l.Object, Reason: l.Why})
	}
	s.Repairs = []api.Repair{}
	for _, e := range d.repairs.Entries() {
		s.Repairs = append(s.Repairs, api.Repair{At: e.At, First: e.First, Times: e.Times, What: e.What, Count: e.Count, Detail: e.Detail})
	}
	return s, nil
}

func portName(p controller.PortStatus) string {
	if p.Known {
		return p.Ref.String()
	}
	return p.IfaceID
}

func (d *daemon) connections() []api.Connection {
	target := "embedded in this process"
	if len(d.cfg.Store) > 0 {
		target = strings.Join(d.cfg.Store, ",")
	}
	db := d.db.State()
	list := []api.Connection{
		{Name: "store", Target: target},
		{Name: "ovsdb", Target: d.cfg.OVSDB, Connected: db.Connected, Since: db.Since, Error: intent.What(db.LastError)},
		{Name: "openflow", Target: d.link.Addr()},
	}
	for i, state := range map[int]func() (bool, time.Time, error){0: d.presence.State, 2: d.link.State} {
		connected, since, err := state()
		list[i].Connected, list[i].Since, list[i].Error = connected, since, intent.What(err)
	}
	if trial, ok := d.store.NextTrial(); ok {
		list[0].RetryAt, list[0].RetryError = trial.Next, trial.Last
	}
	for i := range list {
		if list[i].Connected {
			list[i].Error = ""
		}
	}
	return list
}

// drops reads the counters of table drop, of the reasons that occurred.
func (d *daemon) drops(ctx context.Context) ([]api.Drop, error) {
	conn, err := d.link.Conn()
	if err != nil {
		return nil, err
	}
	flows, err := conn.Flows(ctx, ofconn.FlowFilter{Tables: []uint8{pipeline.DropTable()}})
	meters, err2 := conn.MeterStats(ctx)
	var large api.Drop
	large.Packets, large.Bytes = d.router.TooLarge()
	return countDrops(flows, meters, large), errors.Join(err, err2)
}

// storeAdvice says what to do while the store does not answer.
func storeAdvice(err error) string {
	var why *intent.Error
	if errors.As(err, &why) && errors.As(why.Err, &why) && why.Hint != "" { // it is known, and not that nothing answers
		return why.Hint
	}
	return "see whether the host that runs the store is up; packets keep flowing"
}

// retried says when what has failed is tried again.
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

// warnings says what is wrong and what to do about it.
func (d *daemon) warnings(c controller.Status) []api.Warning {
	var w []api.Warning
	add := func(do, what string, args ...any) {
		w = append(w, api.Warning{What: fmt.Sprintf(what, args...), Do: do})
	}
	for _, conn := range d.connections() {
		if conn.Connected {
			continue
		}
		switch conn.Name {
		case "store":
			add(storeAdvice(d.presence.Down())+retried(conn), "%s", conn.Error)
		case "ovsdb":
			add("see whether ovsdb-server runs: systemctl status openvswitch-switch", "ovsdb-server does not answer: %s", conn.Error)
		case "openflow":
			add(keeper.HintVswitchd, "ovs-vswitchd does not answer: %s", conn.Error)
		}
	}
	if connected, _, _ := d.presence.State(); !connected {
		for what, missing := range map[string]bool{"the list of hosts": c.NoHosts, "what tenants are kept from": c.NoGuard} {
			if missing {
				add("see that the store is back; until then the switch keeps the flows that it has",
					"the copy of %s on disk is damaged and the store does not answer: nothing is done on this host", what)
			}
		}
	}
	for _, t := range c.Tenants {
		if t.Unlimited {
			add("ovloom nat snat set "+t.Name+" --max-connections N",
				"nothing bounds the connections of tenant %s through NAT: they can take the connection table and the source ports that all tenants share", t.Name)
		}
	}
	for _, l := range d.store.LeftOut() {
		add(l.Do(), "%s in the store cannot be used: %s", l.Object, l.Why)
	}
	for _, l := range c.LeftOut {
		add(l.Do, "%s is left out on this host: %s", l.Object, l.Why)
	}
	for _, t := range c.Missing {
		add("see that the store is back; until then a crash of ovs-vswitchd takes what is left of it",
			"the copy of tenant %s on disk is damaged and the store does not answer: its flows stay as they are", t)
	}
	if c.LastError != "" {
		add("see the log of ovloomd; it tries again by itself", "the switch could not be brought up to date: %s", c.LastError)
	}
	if err := d.bridges.Err(); err != nil {
		do := "see the log of ovloomd; it tries again by itself"
		if told := new(intent.Error); errors.As(err, &told) && told.Hint != "" {
			do = told.Hint
		}
		add(do, "the bridges cannot be put right: %s", intent.What(err))
	}
	for _, clash := range c.Clashes {
		add("change one of them, and report this: ovloom should have refused it", "%s", clash)
	}
	if u := d.agent.Underlay(d.host.VTEP); u.Fault != "" {
		add(u.Do, "%s", u.Fault)
	}
	if err := d.uplink.Fault(); err != nil {
		add(hintOf(err), "%s", intent.What(err))
	}
	if d.aside != nil {
		if err := d.aside.Fault(); err != nil {
			do := hintOf(err)
			if do == "" {
				do = "see the log of ovloomd; it tries again every 10 seconds"
			}
			add(do, "this host's own network is not kept apart from its ports, which may reach what the host routes to: %s", err)
		}
	}
	states := d.agent.States()
	for _, name := range slices.Sorted(maps.Keys(states)) {
		add(states[name].Do, "port %s (interface %s): %s", states[name].Port, name, states[name].What)
	}
	plugged := map[string]string{} // the ports that ovloom plugged interfaces for
	for _, i := range d.db.Interfaces(d.cfg.Bridge) {
		plugged[i.UUID] = i.PluggedFor
	}
	for _, p := range c.Ports {
		switch {
		case p.Known && states[p.Name].What != "": // told below
		case p.Error != "":
			add("see whether the interface exists: ip link show "+p.Name, "Open vSwitch cannot open interface %s of %s: %s", p.Name, portName(p), p.Error)
		case p.Refused != "":
			add(fmt.Sprintf("unplug it here (ovloom port unplug %s) or there, or plug it here again with --take", p.Ref),
				"interface %s cannot be used for its port: %s", p.Name, p.Refused)
		case p.Pending: // what the store does not tell is not the interface's fault
		case !p.Known && plugged[p.UUID] != "":
			add("ovloom port unplug "+plugged[p.UUID],
				"interface %s was plugged for port %s, which was deleted", p.Name, plugged[p.UUID])
		case !p.Known:
			add(fmt.Sprintf("add the port, or remove the interface: ovs-vsctl del-port %s %s", d.cfg.Bridge, p.Name),
				"interface %s names a port that does not exist: %s", p.Name, p.IfaceID)
		}
	}
	for _, x := range c.Conflicts {
		var hosts []string
		for _, b := range x.Claims {
			hosts = append(hosts, b.Host)
		}
		if len(hosts) > 1 {
			add(fmt.Sprintf("unplug it on %s", strings.Join(hosts[1:], ", ")),
				"port %s is plugged on %s; %s has it", x.Ref, strings.Join(hosts, " and "), hosts[0])
		}
		if len(x.Interfaces) > 1 {
			add("remove all but one from the bridge", "several interfaces here name port %s: %s", x.Ref, strings.Join(x.Interfaces, ", "))
		}
	}
	return w
}

// hintOf is what an error says to do.
func hintOf(err error) string {
	var told *intent.Error
	if errors.As(err, &told) {
		return told.Hint
	}
	return ""
}
