package doctor

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pki"
)

const (
	examineTime = 12 * time.Second       // for one host's part of an examination
	reportTime  = 15 * time.Second       // how long to wait for the hosts' reports
	reportPoll  = 100 * time.Millisecond // how often to poll for them

	// ProbesQueued is how many received packets may wait.
	ProbesQueued = 4096
)

// Examinations carries requests and reports between hosts; *store.Store implements it. Each
// examination has a number, its run.
type Examinations interface {
	AskExamination(ctx context.Context, host string, run uint64) error
	WatchExaminations(ctx context.Context, deliver func(run uint64)) error
	AnswerExamination(ctx context.Context, run uint64, report intent.HealthReport) error
	// ExaminationAnswered returns which hosts have reported.
	ExaminationAnswered(ctx context.Context, run uint64) ([]string, error)
	ExaminationReports(ctx context.Context, run uint64) (map[string]intent.HealthReport, error)
}

// Intent is the part of intent that an examination needs; *store.Store implements it.
type Intent interface {
	Hosts(ctx context.Context) ([]intent.HostState, error)
	// CopiedHosts returns the cached copy of the list of hosts; false if there is none.
	CopiedHosts() (intent.HostsUpdate, bool)
	Tenants(ctx context.Context) ([]intent.Tenant, error)
	Networks(ctx context.Context, tenant string) ([]intent.Network, error)
}

// Switch is the connection to the local switch; *keeper.Link is one.
type Switch interface {
	Send(ctx context.Context, packets ...openflow.PacketOut) error
	Tunnel() openflow.PortNo
}

// Host is the host's own network; Linux implements it by package hostnet.
type Host interface {
	UDPSockets(port int) ([]hostnet.UDPSocket, error)
	VXLANDevices(port int) ([]string, error)
	TapsLeavingChecksums(names []string) ([]string, error)
	ReadPeerEnds(names []string) (map[string]hostnet.PeerEnd, error)
	NextHop(to netip.Addr) (hop netip.Addr, link string, err error)
	NeighbourMAC(link string, a netip.Addr) (string, error)
}

// Config configures an Examiner. Every field but Certificate is required.
type Config struct {
	Name        string // of this host
	VXLANName   string // the tunnel port
	VXLANPort   int    // of UDP
	Userspace   bool   // the datapath is the userspace one
	Certificate pki.Files

	Examinations Examinations
	Intent       Intent
	Switch       Switch
	Host         Host

	// Self returns this host's current state, and Underlay why none of its tunnels works,
	// with the remedy; "" if they work.
	Self     func() intent.Host
	Underlay func() (fault, do string)

	// Interfaces returns the interfaces of the integration bridge.
	Interfaces func() []ovsdb.Interface

	// Neighbours returns the userspace datapath's next hops of tunnels, and Moved the next
	// hops whose MAC changed a moment ago.
	Neighbours func(ctx context.Context) ([]datapath.Neighbour, error)
	Moved      func() []datapath.Change

	// CutOff returns the faults that keep tenants from leaving through the host.
	CutOff func() []hostnet.ExitFault

	Log *slog.Logger
}

// Examiner examines this host and its paths to others when a host requests an examination,
// and requests examinations of all hosts.
type Examiner struct {
	cfg    Config
	prober *Prober
}

// NewExaminer returns an Examiner that answers nothing before Run.
func NewExaminer(cfg Config) *Examiner {
	e := &Examiner{cfg: cfg}
	e.prober = NewProber(e.send)
	return e
}

// Run answers the probes in packets, and takes part in examinations, until ctx ends.
func (e *Examiner) Run(ctx context.Context, packets <-chan openflow.PacketIn) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { e.receive(ctx, packets) })
	loop.Watch(ctx, e.cfg.Log, "examinations", func(ctx context.Context) error {
		return e.cfg.Examinations.WatchExaminations(ctx, func(run uint64) {
			parts.Go(func() {
				if err := e.examine(ctx, run); err != nil && ctx.Err() == nil {
					e.cfg.Log.Warn("cannot report to an examination", "error", err)
				}
			})
		})
	})
	return nil
}

// receive handles packets from the tunnel.
func (e *Examiner) receive(ctx context.Context, packets <-chan openflow.PacketIn) {
	for {
		select {
		case p := <-packets:
			from, ok := tunnelSource(p.Metadata)
			if !ok {
				continue
			}
			if err := e.prober.Receive(ctx, from, p.Packet, p.FullLen); err != nil && ctx.Err() == nil {
				e.cfg.Log.Debug("probe not answered", "from", from, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// tunnelSource returns the VTEP that a packet came from.
func tunnelSource(m openflow.Match) (netip.Addr, bool) {
	for _, t := range m.Terms {
		if t.Field == openflow.FieldTunSrc {
			v := t.Value.Uint64()
			return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
		}
	}
	return netip.Addr{}, false
}

// send sends frames through the tunnel.
func (e *Examiner) send(ctx context.Context, packets []Packet) error {
	tunnel := e.cfg.Switch.Tunnel()
	var out []openflow.PacketOut
	for _, p := range packets {
		out = append(out, openflow.PacketOut{Packet: p.Frame, Actions: []openflow.Action{
			openflow.Set(openflow.FieldTunID, intent.VNIProbe), openflow.SetAddr(openflow.FieldTunDst, p.To), openflow.Output{Port: tunnel}}})
	}
	return e.cfg.Switch.Send(ctx, out...)
}

// examine does this host's part of an examination.
func (e *Examiner) examine(ctx context.Context, run uint64) error {
	limited, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	// An ovloomd that starts receives all examinations of the last minute. Taking part
	// again in those that this host has reported to would push the current one out of the
	// probers' memory.
	if reported, err := e.cfg.Examinations.ExaminationAnswered(limited, run); err != nil || slices.Contains(reported, e.cfg.Name) {
		return err
	}
	hosts, err := e.cfg.Intent.Hosts(limited)
	if err != nil {
		return err
	}
	var alive []intent.Host
	for _, h := range hosts {
		if h.Alive {
			alive = append(alive, h.Host)
		}
	}
	// Answer even when no time is left: others wait for the report.
	return e.cfg.Examinations.AnswerExamination(ctx, run, e.report(limited, run, alive))
}

// report examines this host and its paths to others.
func (e *Examiner) report(ctx context.Context, run uint64, hosts []intent.Host) intent.HealthReport {
	start, self := time.Now(), e.cfg.Self()
	report := intent.HealthReport{Host: self.Name, VXLANPort: e.cfg.VXLANPort}
	var targets []Target
	for _, h := range hosts {
		if h.Name != self.Name {
			targets = append(targets, Target{Host: h.Name, VTEP: h.VTEP, Wanted: Wanted(self, h)})
		}
	}
	report.Paths = e.prober.Examine(ctx, run, targets)
	report.Findings = append(e.examineHost(), e.examineNeighbours(ctx, hosts)...)
	report.Took = time.Since(start)
	e.cfg.Log.Info("examined the paths to the other hosts", "hosts", len(targets), "findings", len(report.Findings), "took", report.Took.Round(time.Millisecond))
	return report
}

// Health has every live host examine its paths to the others, and returns the diagnosis from
// all reports. While the store does not answer, it examines this host's paths only.
func (e *Examiner) Health(ctx context.Context) (intent.Health, error) {
	run := rand.Uint64()
	if err := e.cfg.Examinations.AskExamination(ctx, e.cfg.Name, run); err != nil {
		if intent.KindOf(err) != intent.Unavailable || ctx.Err() != nil {
			return intent.Health{}, err
		}
		return e.alone(ctx, run), nil
	}
	deadline := time.Now().Add(reportTime)
	for {
		waiting, err := e.waiting(ctx, run)
		if err != nil {
			return intent.Health{}, err
		}
		if len(waiting) == 0 || time.Now().After(deadline) {
			break
		}
		if !loop.Pause(ctx, reportPoll) {
			return intent.Health{}, ctx.Err()
		}
	}
	hosts, err := e.cfg.Intent.Hosts(ctx)
	if err != nil {
		return intent.Health{}, err
	}
	networks, err := e.networks(ctx)
	if err != nil {
		return intent.Health{}, err
	}
	reports, err := e.cfg.Examinations.ExaminationReports(ctx, run)
	if err != nil {
		return intent.Health{}, err
	}
	return Judge(hosts, networks, reports), nil
}

// alone is an examination without the store: of this host, and of its paths to the hosts
// in its cached copy. Those answer probes without the store.
func (e *Examiner) alone(ctx context.Context, run uint64) intent.Health {
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	copied, _ := e.cfg.Intent.CopiedHosts() // without a copy there are no paths to examine
	return JudgeAlone(copied.Hosts, e.report(ctx, run, copied.Hosts), errors.New("the store does not answer"))
}

// waiting returns the live hosts that have not reported.
func (e *Examiner) waiting(ctx context.Context, run uint64) ([]string, error) {
	hosts, err := e.cfg.Intent.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	reported, err := e.cfg.Examinations.ExaminationAnswered(ctx, run)
	var waiting []string
	for _, h := range hosts {
		if h.Alive && !slices.Contains(reported, h.Name) {
			waiting = append(waiting, h.Name)
		}
	}
	return waiting, err
}

// networks returns the networks of all tenants.
func (e *Examiner) networks(ctx context.Context) ([]intent.Network, error) {
	tenants, err := e.cfg.Intent.Tenants(ctx)
	var all []intent.Network
	for _, t := range tenants {
		some, err := e.cfg.Intent.Networks(ctx, t.Name)
		if err != nil && intent.KindOf(err) != intent.NotFound { // it was deleted meanwhile
			return nil, err
		}
		all = append(all, some...)
	}
	return all, err
}
