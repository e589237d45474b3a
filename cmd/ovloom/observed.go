// ovloom connections, ovloom macs: what this host's switch has learned.

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

func (p *program) connectionsCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "connections", Usage: "show a tenant's connections with the outside on this host", Action: p.connections,
		Description: `Who sent its first packet to whom, and what that is translated to: by SNAT, a floating address or a forward. Connections
within the overlay are not tracked. Only this host's are shown; for another host's, say this
there.

   ovloom connections acme
   ovloom connections acme -o json`,
	}, path(intent.ClassTenant))
}

func (p *program) macsCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "macs", Usage: "show the MACs that this host has learned in a network", Action: p.macs,
		Description: `Behind ports with a learning limit (ovloom port add --learn), and behind peers. What the store knows is not learned: see
ovloom port list. Each host learns by itself, and only this host's MACs are shown; for another host's, say this there.

   ovloom macs acme/lab
   ovloom macs acme/lab -o json`,
	}, path(intent.ClassTenant, intent.ClassNetwork))
}

func (p *program) connections(c *cli.Context) error {
	tenant, err := parsed(c, intent.ParseTenant)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	all, err := p.client.Connections(ctx, tenant)
	if err != nil {
		return err
	}
	return p.print(all, func(out io.Writer) {
		var rows [][]string
		for _, v := range all {
			rows = append(rows, []string{v.Port, v.Protocol, v.Source, v.Destination, v.TranslatedSource, v.TranslatedDestination, v.State})
		}
		fmt.Fprintln(out, "on this host:")
		table(out, []string{"PORT", "PROTOCOL", "SOURCE", "DESTINATION", "SOURCE BECOMES", "DESTINATION BECOMES", "STATE"}, rows)
	})
}

func (p *program) macs(c *cli.Context) error {
	ref, err := parsed(c, intent.ParseNetworkRef)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	all, err := p.client.Learned(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(all, func(out io.Writer) {
		seconds := func(s float64) string { return (time.Duration(s) * time.Second).String() }
		var rows [][]string
		for _, v := range all {
			rows = append(rows, []string{v.MAC.String(), v.Behind, seconds(v.Idle), seconds(v.Age)})
		}
		fmt.Fprintln(out, "on this host:")
		table(out, []string{"MAC", "BEHIND", "IDLE", "AGE"}, rows)
	})
}
