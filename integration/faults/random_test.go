package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// client changes intent at random through the CLI of one host.
type client struct {
	*rand.Rand
	o    *overlay.Overlay
	host *lab.Host
	all  *plugs
}

// plugs remembers which workload a port was last plugged into on each host.
type plugs struct {
	mu sync.Mutex
	at map[string]*lab.Workload // by "acme/web/c1 host1"
}

func (p *plugs) key(port string, h *lab.Host) string { return port + " " + h.Name }

// step makes one change. Because of concurrent changes by other clients it may be refused, with
// a message and the exit code of a refusal.
func (c *client) step(ctx context.Context) error {
	tenant := []string{"acme", "umbrella"}[c.IntN(2)]
	network := tenant + "/" + []string{"web", "db", "lab"}[c.IntN(3)]
	port := fmt.Sprintf("%s/c%d", network, c.IntN(5))
	var err error
	switch n := c.IntN(20); {
	case n < 3:
		args := []string{"network", "add", network, "--subnet", map[string]string{"web": "10.0.0.0/24", "db": "10.0.1.0/24", "lab": "10.0.2.0/24"}[network[len(tenant)+1:]]}
		if c.IntN(2) == 0 {
			args = append(args, "--learning")
		}
		_, err = c.host.Ovloom(ctx, args...)
	case n < 4:
		_, err = c.host.Ovloom(ctx, "network", "set", network, "--unknown", []string{"drop", "flood"}[c.IntN(2)])
	case n < 5:
		if c.IntN(3) == 0 { // deletes many objects
			_, err = c.host.Ovloom(ctx, "network", "delete", network, "--cascade")
		}
	case n < 11:
		_, err = c.host.Ovloom(ctx, "port", "add", port)
	case n < 13:
		_, err = c.host.Ovloom(ctx, "port", "delete", port, "--cascade")
	case n < 18:
		err = c.plug(ctx, port)
	default:
		_, err = c.host.Ovloom(ctx, "port", "unplug", port)
	}
	if code := lab.ExitCode(err); code != 0 && code != 2 && code != 3 && code != 4 {
		return fmt.Errorf("a change failed otherwise than by a refusal: %w", err)
	}
	return nil
}

func (c *client) plug(ctx context.Context, port string) error {
	w, err := c.host.NewWorkload(ctx, fmt.Sprintf("w%d", c.Uint32()))
	if err != nil {
		return err
	}
	// Another host may take the port before it is up here, or a client may delete it: then
	// waiting for it would not end.
	if _, err = c.host.Ovloom(ctx, "port", "plug", port, "--netns", w.NetNS, "--no-wait"); err == nil {
		c.all.mu.Lock()
		c.all.at[c.all.key(port, c.host)] = w
		c.all.mu.Unlock()
	}
	return err
}

// After any number of concurrent changes by several clients, all agree: every switch holds what
// a new process computes, every index key matches its object, and every pair of machines that
// should communicate does.
func TestRandomChanges(t *testing.T) {
	const changes, clients = 300, 6
	o := overlay.New(t, lab.Config{})
	for _, tenant := range []string{"acme", "umbrella"} {
		o.Run("tenant", "add", tenant)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	all := &plugs{at: map[string]*lab.Workload{}}
	g, ctx := errgroup.WithContext(t.Context())
	for n := range clients {
		c := &client{rand.New(rand.NewPCG(seed, uint64(n))), o, o.Hosts[n%len(o.Hosts)], all}
		g.Go(func() error {
			for range changes / clients {
				if err := c.step(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}

	// Whatever is left, there is one network to communicate in.
	o.Run("network", "add", "acme/last", "--subnet", "10.0.9.0/24")
	for _, h := range o.Hosts {
		m := o.Plug(h, "acme/last/"+h.Name)
		all.at[all.key(m.Port.Ref().String(), h)] = m.Workload
	}

	o.StoreIsSound()
	for _, h := range o.Hosts {
		lab.Eventually(t, overlay.PollTime, h.Name+"'s switch to be what it should", func() error { return overlay.FlowsAreRight(t.Context(), h) })
		if err := h.Ovloomd.Stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := o.Synced(h); s.Resync.Messages != 0 {
			t.Errorf("on %s a new process computes %d messages of difference", h.Name, s.Resync.Messages)
		}
	}
	if pairs := everyPairTalks(o, all); pairs < 6 {
		t.Errorf("only %d pairs of ports to talk to each other", pairs)
	} else {
		t.Logf("%d pairs talk", pairs)
	}
}

// everyPairTalks pings between all plugged ports of each network and returns the number of
// pairs.
func everyPairTalks(o *overlay.Overlay, all *plugs) (pairs int) {
	o.T.Helper()
	var ports []api.Port
	o.Get(o.Hosts[0], &ports, "port", "list")
	for _, from := range ports {
		for _, to := range ports {
			if from.Network != to.Network || from.Tenant != to.Tenant || from.Name == to.Name || from.Host == "" || to.Host == "" {
				continue
			}
			m := &overlay.Machine{Workload: all.at[from.Ref().String()+" "+from.Host], Port: from.Port}
			if m.Workload == nil {
				o.T.Errorf("%s is bound to %s, where no test plugged it", from.Ref(), from.Host)
				continue
			}
			o.Reaches(m, to.Addrs[0])
			pairs++
		}
	}
	return pairs
}
