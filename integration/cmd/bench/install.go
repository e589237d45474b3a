package main

// This file installs 100,000 flows that intent asks for.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	of "github.com/ovloom/ovloom/openflow"
)

// manyPorts is the number of remote ports with 100,000 flows.
const manyPorts = 100_000 / flowsPerPort

// flowsPerPort is the number of flows of a remote port with one IPv4 address.
const flowsPerPort = 3

// install compares turning a snapshot of intent into flows with ovs-ofctl reading the flows'
// text.
func (b *bench) install(ctx context.Context) (_ []figure, err error) {
	d, err := drive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()

	var ours, theirs []time.Duration
	var cpu, ofctlCPU time.Duration
	var rss int64
	var n int
	for range b.rounds {
		runtime.GC() // so that garbage of the last round does not count
		before := ownCPU()
		took, mods, err := d.fill(ctx, remotes+manyPorts)
		if err != nil {
			return nil, err
		}
		cpu += ownCPU() - before
		ours, n = append(ours, took), len(mods)
		file, err := d.writeFlows(mods)
		if err != nil {
			return nil, err
		}
		self, err := usageOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		rss = max(rss, self.rss)
		if _, _, err := d.fill(ctx, remotes); err != nil {
			return nil, err
		}

		took, used, err := d.ofctl(ctx, "--bundle", "add-flows", bridge, file)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
		ofctlCPU += used
		if err := d.reconnect(ctx); err != nil {
			return nil, err
		}
		removed, err := d.await(ctx)
		if err != nil {
			return nil, err
		}
		if len(removed) != n {
			return nil, fmt.Errorf("ovs-ofctl has installed %d flows, not %d", len(removed), n)
		}
	}
	us, them := median(ours), median(theirs)
	rounds := time.Duration(b.rounds)
	return []figure{{
		what: fmt.Sprintf("%d flows from intent to barrier", n), ours: ms(us),
		peer: "ovs-ofctl --bundle add-flows: " + ms(them), ratio: times(us, them),
		target: "≥ 1.5 ×", met: judge(float64(them) >= 1.5*float64(us)),
		cpu: seconds(cpu/rounds) + " vs " + seconds(ofctlCPU/rounds), rss: megabytes(rss),
	}}, nil
}

// writeFlows writes the flows that mods add in ovs-ofctl's syntax.
func (d *driven) writeFlows(mods []of.Mod) (string, error) {
	var text strings.Builder
	for _, m := range mods {
		f, ok := m.(*of.FlowMod)
		if !ok || f.Command != of.FlowAdd {
			return "", fmt.Errorf("%s is not a flow to add", m)
		}
		fmt.Fprintln(&text, f.Flow.String())
	}
	file := filepath.Join(d.Dir, "flows")
	return file, os.WriteFile(file, []byte(text.String()), 0o600)
}
