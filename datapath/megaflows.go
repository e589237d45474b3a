package datapath

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Flows returns the number of flows in the datapath's cache (megaflows).
func (d *Datapath) Flows(ctx context.Context) (int, error) {
	out, err := d.vswitchd.Call(ctx, "upcall/show")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		if strings.HasSuffix(strings.TrimSpace(line), ":") && strings.TrimSpace(line) != d.name()+":" {
			continue
		}
		if m := currentFlows.FindStringSubmatch(line); m != nil {
			return strconv.Atoi(m[1])
		}
	}
	return 0, fmt.Errorf("upcall/show tells no number of flows: %q", out)
}

// Translations returns how often ovs-vswitchd has passed a packet through the tables, to
// cache a flow or to forward that packet alone.
func (d *Datapath) Translations(ctx context.Context) (uint64, error) {
	out, err := d.vswitchd.Call(ctx, "coverage/read-counter", "xlate_actions")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(out), 10, 64)
}

var (
	currentFlows = regexp.MustCompile(`flows\s*:\s*\(current (\d+)\)`)
	flowPackets  = regexp.MustCompile(`packets:(\d+)`)
	inPort       = regexp.MustCompile(`in_port\((\d+)\)`)
	portLine     = regexp.MustCompile(`^\s+\S+ (\d+)/(\d+):`)
)

// FlowCount counts the cached flows for packets from one port.
type FlowCount struct {
	All  int
	Idle int // flows that served few packets

	Slow uint64 // packets of flows whose action is an upcall to ovs-vswitchd
}

// flowPays is how many packets a cached flow must serve to be worth its upcall.
const flowPays = 5

// FlowsByPort returns how many flows the cache holds for packets of each port of a
// bridge, by OpenFlow port number. To list 10,000 holds the switch up for a tenth of a
// second.
func (d *Datapath) FlowsByPort(ctx context.Context, bridge string) (map[uint32]FlowCount, error) {
	ports, err := d.vswitchd.Call(ctx, "dpif/show")
	if err != nil {
		return nil, err
	}
	flows, err := d.vswitchd.Call(ctx, "dpctl/dump-flows", d.name())
	if err != nil {
		return nil, err
	}
	return countByPort(flows, portNumbers(ports, bridge)), nil
}

// portNumbers parses dpif/show for the OpenFlow ports of a bridge, by datapath port number.
func portNumbers(show, bridge string) map[string]uint32 {
	numbers := map[string]uint32{}
	here := false
	for line := range strings.Lines(show) {
		name, header := strings.CutSuffix(strings.TrimSpace(line), ":")
		if header { // the header of a bridge; patch ports have no datapath number
			here = name == bridge
		}
		m := portLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if n, err := strconv.ParseUint(m[1], 10, 32); here && err == nil {
			numbers[m[2]] = uint32(n)
		}
	}
	return numbers
}

func countByPort(flows string, numbers map[string]uint32) map[uint32]FlowCount {
	byNumber := map[string]FlowCount{}
	for line := range strings.Lines(flows) {
		m := inPort.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := byNumber[m[1]]
		c.All++
		if p := flowPackets.FindStringSubmatch(line); p != nil {
			n, err := strconv.ParseUint(p[1], 10, 64)
			switch {
			case err != nil:
			case strings.Contains(line, "slow_path("):
				c.Slow += n
			case n < flowPays:
				c.Idle++
			}
		}
		byNumber[m[1]] = c
	}
	counts := map[uint32]FlowCount{}
	for n, count := range byNumber {
		if p, ok := numbers[n]; ok {
			counts[p] = count
		}
	}
	return counts
}
