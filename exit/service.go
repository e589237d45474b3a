package exit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// A forward uses a port of the host's own addresses. A program that had bound the port
// first keeps it, and a program of root keeps it at any time. Other users' programs that
// come later do not get it: any user of the host could take over a tenant's traffic
// otherwise. So the list of forwards in force is kept on disk, across restarts.

// firstFile is the file of that list, in the state directory.
const firstFile = "forwards.json"

// portKey returns the port of the host's own addresses that f uses, as "tcp/8080".
func portKey(f hostnet.ExitForward) string { return fmt.Sprintf("%s/%d", f.Protocol, f.Port) }

// loadFirst reads the forwards that were in force when ovloomd last ran.
func (r *Reconciler) loadFirst() {
	r.first = map[string]bool{}
	if r.set.StateDir == "" {
		return
	}
	b, err := os.ReadFile(filepath.Join(r.set.StateDir, firstFile))
	var kept []string
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("cannot read the forwards of the last run; ports in use by programs stay theirs", "error", err)
	}
	for _, k := range kept {
		r.first[k] = true
	}
}

// keepFirst saves the forwards in force.
func (r *Reconciler) keepFirst(forwards []hostnet.ExitForward) {
	now := map[string]bool{}
	for _, f := range forwards {
		now[portKey(f)] = true
	}
	if maps.Equal(now, r.first) {
		return
	}
	r.first = now
	if r.set.StateDir == "" {
		return
	}
	b, err := json.Marshal(slices.Sorted(maps.Keys(now)))
	path := filepath.Join(r.set.StateDir, firstFile)
	if err == nil {
		err = os.WriteFile(path+".new", append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		r.log.Warn("cannot save the forwards in force", "error", err)
	}
}

// inForce returns the ports of the host's own addresses that are forwarded now, sorted.
func (r *Reconciler) inForce() (list []controller.HostPort) {
	for _, k := range slices.Sorted(maps.Keys(r.first)) {
		protocol, port, _ := strings.Cut(k, "/")
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			list = append(list, controller.HostPort{Protocol: intent.Protocol(protocol), Port: uint16(n)})
		}
	}
	return list
}

// Forward returns where the host sends a packet from NAT address from to a port of the
// host's own addresses, and the source address that the packet then has. ok is false if
// the port is not forwarded.
func (r *Reconciler) Forward(p intent.Protocol, from netip.Addr, to netip.AddrPort) (target netip.AddrPort, source netip.Addr, ok bool) {
	seen := r.lastSeen()
	forward := slices.IndexFunc(seen.forwarded, func(f hostnet.ExitForward) bool { return f.Protocol == p && f.Port == to.Port() })
	subnet := slices.IndexFunc(seen.config.Externals, func(e intent.External) bool {
		return e.Kind == intent.ExternalHost && e.Subnet.Contains(from)
	})
	own, err := r.deps.Host.OwnAddrs()
	if forward < 0 || subnet < 0 || err != nil || !slices.Contains(own, to.Addr()) {
		return netip.AddrPort{}, netip.Addr{}, false
	}
	return seen.forwarded[forward].To, seen.config.Externals[subnet].Gateway, true
}

// leaveServices removes from e the forwards of ports that programs of this host keep, and
// returns them as taken. deaf are the forwards that stay although a program listens on
// their port, which receives nothing.
func (r *Reconciler) leaveServices(e *hostnet.Exit) (taken, deaf []hostnet.ExitForward, err error) {
	e.Forwards = slices.DeleteFunc(e.Forwards, func(f hostnet.ExitForward) bool {
		used := f.Protocol == intent.UDP && int(f.Port) == r.set.VXLANPort
		if !used {
			service, failed := r.deps.Host.Listens(f.Protocol, f.Port)
			err = errors.Join(err, failed)
			first := r.first[portKey(f)]
			used = service == hostnet.ServedByRoot || service == hostnet.ServedByUser && !first
			if service == hostnet.ServedByUser && first {
				deaf = append(deaf, f)
			}
		}
		if used {
			taken = append(taken, f)
		}
		return used
	})
	return taken, deaf, err
}
