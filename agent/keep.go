package agent

// Reconciling what is plugged: after every change that the kernel, the switch or the store
// reports, and each port from time to time.

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/ovsdb"
)

const (
	// settle is how long a port is left alone after a change, which is often the first of
	// several.
	settle = 200 * time.Millisecond
	retry  = time.Second // after a failure

	lookAgain  = 10 * time.Second      // how often a port is checked without a change
	lookSpread = 50 * time.Millisecond // the least pause between two such checks

	looksAtOnce = 8

	// A port that needs more than fixesMost repairs in fixesTime has a program in its
	// namespace that undoes them; it is left alone for a while.
	fixesMost = 12
	fixesTime = time.Minute

	watchRetry = time.Second
)

// lookSoon schedules a check of a port after settle.
func (a *Agent) lookSoon(id string) { a.lookAt(id, time.Now().Add(settle)) }

// lookNow schedules a check of a port at once.
func (a *Agent) lookNow(id string) { a.lookAt(id, time.Now()) }

func (a *Agent) lookAt(id string, at time.Time) {
	a.mu.Lock()
	if old, ok := a.due[id]; !ok || at.Before(old) {
		a.due[id] = at
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run keeps what is plugged until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	a.adopt()
	for _, r := range a.records.all() {
		a.lookNow(r.Port)
	}
	var all sync.WaitGroup
	all.Go(func() { a.watch(ctx) })
	defer all.Wait()
	slots := make(chan struct{}, looksAtOnce)
	round := time.NewTimer(lookAgain)
	defer round.Stop()
	next := 0 // index of the next record to check without a change
	for {
		due, wait := a.takeDue()
		for _, id := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			all.Go(func() { defer func() { <-slots }(); a.look(ctx, id) })
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.wake:
		case <-timer.C:
		case <-round.C:
			records := a.records.all()
			if len(records) > 0 {
				next = (next + 1) % len(records)
				a.lookNow(records[next].Port)
			}
			round.Reset(max(lookSpread, lookAgain/time.Duration(max(1, len(records)))))
		}
		timer.Stop()
	}
}

// takeDue removes and returns the ports that are due, and returns the time until the next.
func (a *Agent) takeDue() (due []string, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait = time.Hour
	now := time.Now()
	for id, at := range a.due {
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		due = append(due, id)
		delete(a.due, id)
	}
	return due, wait
}

// watch handles the kernel's link events until ctx ends.
func (a *Agent) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := a.cfg.Network.Watch(ctx, a.linksChanged); err != nil && ctx.Err() == nil {
			a.log.Error("watch of the host's links ended; restarting it", "error", err, "retry-in", watchRetry)
			loop.Pause(ctx, watchRetry)
		}
	}
}

// linksChanged updates the agent after a change of the host's links.
func (a *Agent) linksChanged(c hostnet.Change) {
	byName := map[string]Record{}
	for _, r := range a.records.all() {
		byName[r.Interface] = r
	}
	var look []string
	card := a.card()
	a.mu.Lock()
	if c.All {
		for name := range a.links {
			if r, ok := byName[name]; ok {
				look = append(look, r.Port)
			}
		}
		a.links, a.names, a.inside = map[string]hostnet.LinkState{}, map[int]string{}, map[int]string{}
		for _, r := range byName {
			look = append(look, r.Port)
		}
	}
	gone := func(name string) {
		delete(a.names, a.links[name].Index)
		delete(a.links, name)
		if r, ok := byName[name]; ok {
			look = append(look, r.Port)
		}
	}
	for _, name := range c.Gone {
		gone(name)
	}
	for _, l := range c.Links {
		old := a.links[l.Name]
		if l == old {
			continue
		}
		if before, ok := a.names[l.Index]; ok && before != l.Name {
			gone(before) // renamed: there is no event for the old name
		}
		a.links[l.Name], a.names[l.Index] = l, l.Name
		r, ok := byName[l.Name]
		if !ok {
			continue
		}
		if l.Inside >= 0 {
			a.inside[l.Inside] = r.Port
		}
		look = append(look, r.Port)
	}
	if a.below.concerns(c, card) {
		a.below = underlay{}
		select {
		case a.moved <- struct{}{}:
		default:
		}
		for _, r := range byName {
			look = append(look, r.Port)
		}
	}
	for _, id := range c.Inside {
		if port, ok := a.inside[id]; ok {
			look = append(look, port)
		}
	}
	a.mu.Unlock()
	for _, id := range look {
		a.lookSoon(id)
	}
	if c.All || len(c.Links)+len(c.Gone) > 0 {
		a.judgeOthers()
	}
}

// look checks one port and repairs it, or records why it cannot.
func (a *Agent) look(ctx context.Context, id string) {
	free, ok := a.locks.try(id)
	if !ok {
		a.lookSoon(id)
		return
	}
	defer free()
	r, ok := a.records.get(id)
	if !ok {
		return
	}
	a.mu.Lock()
	link, there := a.links[r.Interface]
	row, switched := a.switched[r.Interface]
	known := a.links != nil && a.switched != nil
	a.mu.Unlock()
	if !known {
		return // both will report, and then the port is checked again
	}
	if !there {
		a.setState(r.Interface, a.missing(r))
		return
	}
	state := a.putRight(ctx, r, link, row, switched)
	if ctx.Err() != nil {
		return
	}
	a.setState(r.Interface, state)
	if state.What != "" {
		a.lookAt(id, time.Now().Add(retry))
	}
}

// putRight repairs a port whose interface exists, and returns what is still wrong.
func (a *Agent) putRight(ctx context.Context, r Record, link hostnet.LinkState, row ovsdb.Interface, switched bool) State {
	w, wanted, deleted := a.wantedOf(r.Port)
	if !switched && deleted {
		return State{Port: r.Ref, Down: true, What: "the port was deleted", Do: "ovloom port unplug " + r.Ref}
	}
	if link.Index != r.IfIndex {
		if r.Kind != KindTap {
			return State{Port: r.Ref, Down: true, What: fmt.Sprintf("interface %s is another one than ovloom made", r.Interface),
				Do: fmt.Sprintf("ip link del %s, then plug the port again", r.Interface)}
		}
		if _, err := a.cfg.Network.CheckTap(r.Interface, r.Force); err != nil {
			s := fault(r, fmt.Sprintf("interface %s was made anew and cannot be the port", r.Interface), err)
			s.Down = true
			return s
		}
		r.IfIndex = link.Index
		err := a.cfg.Switch.AddPort(ctx, a.cfg.Bridge, portSpec(r, 0))
		if err == nil {
			err = a.records.put(r)
		}
		if err != nil {
			return fault(r, fmt.Sprintf("interface %s was made anew and cannot be put on the bridge", r.Interface), err)
		}
		a.cfg.Repairs.Put("interface made anew put on the bridge", 0, fmt.Sprintf("%s of port %s", r.Interface, r.Ref))
		return a.tapState(r, link)
	}
	if !a.confirmMissing(r, switched && row.IfaceID == r.Port) {
		if !switched {
			return State{}
		}
	} else {
		if err := a.cfg.Switch.AddPort(ctx, a.cfg.Bridge, portSpec(r, 0)); err != nil {
			s := fault(r, fmt.Sprintf("interface %s is off the bridge and cannot be put back", r.Interface), err)
			s.Down = true
			return s
		}
		a.cfg.Repairs.Put("plugged interface put back on the bridge", 0, fmt.Sprintf("%s of port %s", r.Interface, r.Ref))
	}
	if r.Kind == KindTap {
		return a.tapState(r, link)
	}
	if !wanted {
		return a.hostEndUp(r, link)
	}
	return a.configure(ctx, r, w, link)
}

// confirmMissing reports whether the switch has lacked an interface for long enough to be
// certain: the replica of its database may be a moment behind.
func (a *Agent) confirmMissing(r Record, there bool) bool {
	a.mu.Lock()
	since, was := a.missed[r.Port]
	switch {
	case there:
		delete(a.missed, r.Port)
	case !was:
		a.missed[r.Port] = time.Now()
	}
	a.mu.Unlock()
	if there {
		return false
	}
	if !was || time.Since(since) < settle {
		a.lookSoon(r.Port)
		return false
	}
	return true
}

// tapState returns the state of an interface that ovloom did not create.
func (a *Agent) tapState(r Record, link hostnet.LinkState) State {
	s := State{Port: r.Ref}
	w, wanted, _ := a.wantedOf(r.Port)
	switch {
	case !link.Up:
		s.Down, s.What, s.Do = true, fmt.Sprintf("interface %s is down", r.Interface), fmt.Sprintf("ip link set %s up", r.Interface)
	case wanted:
		if mtu, err := a.mtu(w.network); err == nil && link.MTU > mtu {
			s.What = fmt.Sprintf("interface %s has MTU %d, and network %s has %d: larger packets are lost", r.Interface, link.MTU, w.network.Ref(), mtu)
			s.Do = fmt.Sprintf("ip link set %s mtu %d, and the same in the guest", r.Interface, mtu)
		}
	}
	return s
}

// hostEndUp sets the host's end up while the wanted configuration is unknown.
func (a *Agent) hostEndUp(r Record, link hostnet.LinkState) State {
	if link.Up {
		return State{}
	}
	if err := a.cfg.Network.SetUp(r.Interface); err != nil {
		s := fault(r, fmt.Sprintf("interface %s is down", r.Interface), err)
		s.Down = true
		return s
	}
	a.cfg.Repairs.Put("plugged interface brought up", 0, fmt.Sprintf("%s of port %s", r.Interface, r.Ref))
	return State{}
}

// configure configures both ends of a veth pair as wanted.
func (a *Agent) configure(ctx context.Context, r Record, w wants, link hostnet.LinkState) State {
	mtu, err := a.mtu(w.network)
	if intent.KindOf(err) == intent.NotFound {
		mtu, err = r.MTU, nil // the VTEP address is gone: status warns of that
	}
	if err != nil {
		a.hostEndUp(r, link)
		return fault(r, "its MTU cannot be set", err)
	}
	spec := a.specOf(r, w.port, w.network, mtu)
	spec.OldAddrs, spec.OldGateways, spec.OnlyExisting = r.Addrs, r.Gateways, true
	asked := !slices.Equal(spec.Addrs, r.Addrs) || spec.MTU != r.MTU || spec.MAC != r.MAC || !wayOf(r, spec.Gateways)
	if !asked && !a.mayFix(r.Port) {
		return State{Port: r.Ref, What: "something in its namespace changes its interface again and again",
			Do: "see what it is, such as a DHCP client or network manager; ovloom sets addresses, MTU and default route there"}
	}
	plugged, err := a.cfg.Network.Plug(ctx, spec)
	if intent.KindOf(err) == intent.NotFound && !a.cfg.Network.Stands(r.target(), r.Place) {
		// The namespace lives on, although its name or the process is gone.
		if t, _, _, findErr := a.cfg.Network.FindEnd(r.Interface); findErr == nil {
			spec.Target = t
			plugged, err = a.cfg.Network.Plug(ctx, spec)
		} else {
			s := a.hostEndUp(r, link)
			if asked && s.What == "" {
				s = State{Port: r.Ref, What: "the name of its network namespace is gone, so its interface cannot be changed to what is wanted now",
					Do: "plug it where it is now, or set its addresses and MTU there by hand"}
			}
			return s
		}
	}
	if err != nil {
		s := fault(r, "its interface cannot be put right", err)
		s.Down = !link.Up
		return s
	}
	old := r
	r.take(spec, plugged)
	r.Netns, r.PID, r.Place, r.Kind = old.Netns, old.PID, old.Place, old.Kind
	if !sameRecord(old, r) {
		if err := a.records.put(r); err != nil {
			return fault(r, "it cannot be remembered", err)
		}
	}
	switch {
	case !plugged.Changed:
	case asked:
		a.log.Info("plugged port changed as wanted", "port", r.Ref, "interface", r.Ifname, "addresses", r.Addrs, "mtu", r.MTU)
	default:
		a.fixed(r.Port)
		a.cfg.Repairs.Put("plugged interface put right", 0, fmt.Sprintf("%s of port %s: %s", r.Interface, r.Ref, strings.Join(plugged.Did, ", ")))
	}
	return State{}
}

// wayOf reports whether all default routes on record are wanted ones. There may be fewer
// than wanted: the namespace may have its own.
func wayOf(r Record, gateways []netip.Addr) bool {
	return !slices.ContainsFunc(r.Gateways, func(g netip.Addr) bool { return !slices.Contains(gateways, g) })
}

func sameRecord(x, y Record) bool {
	return slices.Equal(x.Addrs, y.Addrs) && slices.Equal(x.Gateways, y.Gateways) && x.MTU == y.MTU && x.MAC == y.MAC &&
		x.IfIndex == y.IfIndex && x.Ifname == y.Ifname
}

// mayFix reports whether a port may be repaired once more.
func (a *Agent) mayFix(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fixes[id] = slices.DeleteFunc(a.fixes[id], func(t time.Time) bool { return time.Since(t) > fixesTime })
	return len(a.fixes[id]) < fixesMost
}

func (a *Agent) fixed(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fixes[id] = append(a.fixes[id], time.Now())
}
