// ovloom peer: VTEPs that are not ovloom.

package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) peerCommand() *cli.Command {
	return &cli.Command{
		Name: "peer", Usage: "peers: VTEPs of a network that are not ovloom",
		Description: `   ovloom peer add acme/web/tor1 --vtep 192.0.2.40
   ovloom peer list acme/web`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a peer", ArgsUsage: "TENANT/NETWORK/PEER", Action: p.peerAdd,
				Flags: []cli.Flag{&cli.StringFlag{Name: "vtep", Usage: "IPv4 `ADDRESS` where its tunnels end"}},
				Description: `A Linux vxlan device or a hardware VTEP, with machines of the network behind it. It speaks VXLAN with the network's VNI, which ` + "`ovloom network show`" + ` prints.

   ovloom peer add acme/web/tor1 --vtep 192.0.2.40`},
			{Name: "list", Usage: "list the peers of all tenants, of one, or of a network", ArgsUsage: "[TENANT[/NETWORK]]", Action: p.peerList,
				Description: "   ovloom peer list\n   ovloom peer list acme/web\n   ovloom peer list acme -o json"},
			{Name: "show", Usage: "show a peer", ArgsUsage: "TENANT/NETWORK/PEER ...", Action: p.peerShow,
				Description: "   ovloom peer show acme/web/tor1"},
			{Name: "delete", Usage: "delete a peer", ArgsUsage: "TENANT/NETWORK/PEER ...", Flags: deleteFlags(), Action: p.peerDelete,
				Description: "   ovloom peer delete acme/web/tor1"},
		},
	}
}

// peerArgument returns a command's only argument, the name of a peer.
func peerArgument(c *cli.Context) (intent.PeerRef, error) {
	arg, err := argument(c)
	if err != nil {
		return intent.PeerRef{}, err
	}
	return intent.ParsePeerRef(arg)
}

func (p *program) peerAdd(c *cli.Context) error {
	ref, err := peerArgument(c)
	if err != nil {
		return err
	}
	if !c.IsSet("vtep") {
		return intent.Invalidf("the VTEP of peer %s is missing", ref).WithHint("give it with --vtep, such as --vtep 192.0.2.40")
	}
	vtep, err := intent.ParseVTEP(c.String("vtep"))
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.AddPeer(ctx, ref.NetworkRef(), api.PeerSpec{Name: ref.Peer, VTEP: vtep})
	if err != nil {
		return err
	}
	late := p.applied(c, ref.Tenant, w.Revision)
	if err := p.print(object[intent.Peer](w), func(out io.Writer) {
		fmt.Fprintf(out, "peer %s added: VTEP %s\n", object[intent.Peer](w).Ref(), object[intent.Peer](w).VTEP)
	}); err != nil {
		return err
	}
	return late
}

func (p *program) peerList(c *cli.Context) error {
	tenant, network, err := scopeArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ps, err := p.client.Peers(ctx, tenant, network)
	if err != nil {
		return err
	}
	return p.print(ps, func(out io.Writer) {
		var rows [][]string
		for _, v := range ps {
			rows = append(rows, []string{v.Ref().String(), v.VTEP.String()})
		}
		table(out, []string{"PEER", "VTEP"}, rows)
	})
}

func (p *program) peerShow(c *cli.Context) error {
	ref, err := peerArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v, err := p.client.Peer(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(v, func(out io.Writer) {
		facts(out, [2]string{"peer", v.Ref().String()}, [2]string{"id", strconv.FormatUint(uint64(v.ID), 10)}, [2]string{"vtep", v.VTEP.String()})
	})
}

func (p *program) peerDelete(c *cli.Context) error {
	ref, err := peerArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeletePeer(ctx, ref, m)
	})
}
