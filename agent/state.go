package agent

// Why an interface does not carry its port, in words.

import (
	"errors"
	"fmt"
	"maps"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// State is a fault of an interface that carries a port.
type State struct {
	Port string // its name, or its UUID if that is all that is known
	Down bool   // no packet gets through
	What string // the cause, such as "the network namespace it was plugged into has ended"
	Do   string // the remedy
}

// States returns the states of faulty interfaces, by name.
func (a *Agent) States() map[string]State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.states)
}

// Changed returns a channel that has an element whenever States has changed.
func (a *Agent) Changed() <-chan struct{} { return a.changed }

// Switched sets the list of all interfaces of the integration bridge.
func (a *Agent) Switched(list []ovsdb.Interface) {
	now := make(map[string]ovsdb.Interface, len(list))
	for _, i := range list {
		now[i.Name] = i
	}
	records := a.records.all()
	a.mu.Lock()
	before := a.switched
	a.switched = now
	a.mu.Unlock()
	for _, r := range records {
		i, there := now[r.Interface]
		old, was := before[r.Interface]
		if !there || !was || i.UUID != old.UUID || i.IfaceID != old.IfaceID {
			a.lookNow(r.Port)
		}
	}
	a.judgeOthers()
}

// setState records the state of an interface; one without What means no fault.
func (a *Agent) setState(name string, s State) {
	a.mu.Lock()
	old, was := a.states[name]
	if s.What == "" {
		delete(a.states, name)
	} else {
		a.states[name] = s
	}
	a.mu.Unlock()
	if was == (s.What != "") && old == s {
		return
	}
	switch {
	case s.What != "":
		a.log.Info("plugged port is not as it should be", "port", s.Port, "interface", name, "fault", s.What)
	default:
		a.log.Info("plugged port is as it should be again", "port", old.Port, "interface", name)
	}
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// missing returns the state of a record whose interface is gone.
func (a *Agent) missing(r Record) State {
	s := State{Port: r.Ref, Down: true}
	again := "ovloom port plug " + r.Ref
	switch {
	case r.Kind == KindTap:
		s.What = fmt.Sprintf("interface %s was deleted", r.Interface)
		s.Do = fmt.Sprintf("make %s again, which plugs it again, or: ovloom port unplug %s", r.Interface, r.Ref)
		return s
	case a.cfg.Network.Stands(r.target(), r.Place):
		s.What = fmt.Sprintf("interface %s was deleted", r.Interface)
		if r.Kind == KindProcess {
			again += fmt.Sprintf(" --pid %d", r.PID)
		} else {
			again += " --netns " + r.Netns
		}
		if r.Ifname != "" && r.Ifname != "eth0" {
			again += " --ifname " + r.Ifname
		}
		if r.NoDefaultRoute {
			again += " --no-default-route"
		}
		s.Do = "plug it again: " + again
		return s
	case r.Kind == KindProcess:
		s.What = fmt.Sprintf("the container or process (%d) it was plugged into has ended", r.PID)
	default:
		s.What = fmt.Sprintf("the network namespace it was plugged into (%s) has ended", r.Netns)
	}
	s.Do = "plug it where it is now, or: ovloom port unplug " + r.Ref
	return s
}

// judgeOthers finds faults of interfaces that ovloom did not plug.
func (a *Agent) judgeOthers() {
	a.judging.Lock() // so that an older result does not overwrite a newer one
	defer a.judging.Unlock()
	a.mu.Lock()
	wrong := map[string]State{}
	var right []string
	for name, i := range a.switched {
		if a.links == nil || i.IfaceID == "" || i.Type != "" || i.Uplink != "" {
			continue
		}
		if r, ok := a.records.get(i.IfaceID); ok && r.Interface == name {
			continue
		}
		s := State{Port: nameOf(i), Down: true}
		switch l, there := a.links[name]; {
		case !there && name == hostnet.HostIfName(i.IfaceID):
			s.What = "the namespace or container that it was plugged into has ended"
			s.Do = "plug it where it is now, or: ovloom port unplug " + s.Port
		case !there:
			s.What = fmt.Sprintf("interface %s was deleted", name)
			s.Do = fmt.Sprintf("make it again, or take it off the bridge: ovs-vsctl del-port %s %s", a.cfg.Bridge, name)
		case !l.Up:
			s.What = fmt.Sprintf("interface %s is down", name)
			s.Do = fmt.Sprintf("ip link set %s up", name)
		default:
			right = append(right, name)
			continue
		}
		wrong[name] = s
	}
	for name := range a.states {
		if _, there := a.switched[name]; !there && wrong[name].What == "" && !a.recorded(name) {
			right = append(right, name)
		}
	}
	a.mu.Unlock()
	for _, name := range right {
		a.setState(name, State{})
	}
	for name, s := range wrong {
		a.setState(name, s)
	}
}

// recorded reports whether an interface has a record.
func (a *Agent) recorded(name string) bool {
	for _, r := range a.records.all() {
		if r.Interface == name {
			return true
		}
	}
	return false
}

// fault turns a failed repair into a state.
func fault(r Record, what string, err error) State {
	var told *intent.Error
	if errors.As(err, &told) {
		return State{Port: r.Ref, What: what + ": " + told.What, Do: told.Hint}
	}
	return State{Port: r.Ref, What: what + ": " + err.Error(), Do: "see the log of ovloomd; it tries again by itself"}
}
