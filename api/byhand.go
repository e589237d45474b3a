// What is left to do by hand after a change: ovloom configures the interfaces that it
// put into namespaces and containers, and no others.

package api

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// ByHand is a port's interface that ovloom does not configure: a tap, or an interface that
// another program put on the bridge.
type ByHand struct {
	Port      intent.PortRef `json:"port"`
	Interface string         `json:"interface"`
}

const (
	byHandPatience = time.Second // how long to wait for the hosts' answers
	byHandMost     = 10          // how many ports are named
)

// leftOfPort lists what is left to do by hand after a change of a port that its machine
// has to follow.
func (s *Server) leftOfPort(ctx context.Context, p intent.Port) []string {
	return s.leftToDo(ctx, func(ctx context.Context) (intent.Network, []intent.Port, []intent.Binding, error) {
		claims, err := intent.AllAs[intent.Binding](s.backend.Store.List(ctx, intent.ClassBinding, p.Ref()))
		if err != nil || len(claims) == 0 {
			return intent.Network{}, nil, nil, err
		}
		n, err := intent.As[intent.Network](s.backend.Store.Get(ctx, p.Ref().NetworkRef()))
		return n, []intent.Port{p}, claims, err
	})
}

// leftOfNetwork is leftOfPort for all ports of a network.
func (s *Server) leftOfNetwork(ctx context.Context, n intent.Network) []string {
	return s.leftToDo(ctx, func(ctx context.Context) (intent.Network, []intent.Port, []intent.Binding, error) {
		snap, err := s.backend.Store.Snapshot(ctx, n.Tenant)
		ports := slices.DeleteFunc(snap.Ports, func(p intent.Port) bool { return p.Network != n.Name })
		claims := slices.DeleteFunc(snap.Bindings, func(b intent.Binding) bool { return b.Network != n.Name })
		return n, ports, claims, err
	})
}

// leftToDo asks the hosts that ports are plugged at, and lists what they answer in time.
func (s *Server) leftToDo(ctx context.Context, read func(context.Context) (intent.Network, []intent.Port, []intent.Binding, error)) []string {
	if s.backend.ByHand == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, byHandPatience)
	defer cancel()
	network, list, claims, err := read(ctx)
	if err != nil {
		return []string{"it is not known which machines must be configured anew by hand: " + intent.What(err)}
	}
	ports := map[intent.PortRef]intent.Port{}
	for _, p := range list {
		ports[p.Ref()] = p
	}
	byPort := map[intent.PortRef][]intent.Binding{}
	for _, b := range claims {
		byPort[b.PortRef()] = append(byPort[b.PortRef()], b)
	}
	hosts := map[string][]intent.PortRef{}
	for ref, all := range byPort {
		w, _ := intent.Winner(all)
		hosts[w.Host] = append(hosts[w.Host], ref)
	}
	var mu sync.Mutex
	var notes []string
	var wait sync.WaitGroup
	for host, refs := range hosts {
		wait.Go(func() {
			list, err := s.backend.ByHand(ctx, host, refs)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				notes = append(notes, fmt.Sprintf("%s does not say which of its %d ports it configures; see: ovloom status there", host, len(refs)))
			}
			for _, h := range list {
				if p, ok := ports[h.Port]; ok {
					notes = append(notes, fmt.Sprintf("port %s is %s of %s, which ovloom does not configure: its machine must have %s",
						h.Port, h.Interface, host, mustHave(p, network)))
				}
			}
		})
	}
	wait.Wait()
	slices.SortFunc(notes, intent.Natural)
	if more := len(notes) - byHandMost; more > 0 {
		notes = append(notes[:byHandMost], fmt.Sprintf("and %d more", more))
	}
	return notes
}

// mustHave says how a machine has to configure its interface.
func mustHave(p intent.Port, n intent.Network) string {
	what := []string{"MAC " + p.MAC.String()}
	for _, a := range p.Addrs {
		for _, sub := range n.Subnets {
			if sub.Prefix.Contains(a) {
				what = append(what, netip.PrefixFrom(a, sub.Prefix.Bits()).String()+" with gateway "+sub.Gateway.String())
			}
		}
	}
	if n.MTU != 0 {
		what = append(what, fmt.Sprintf("an MTU of %d bytes", n.MTU))
	}
	return strings.Join(what, ", ")
}
