// ovloom cert

package main

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
)

// certDir is where certificates are made unless --dir says otherwise.
const certDir = "/etc/ovloom/pki"

func (p *program) certCommand() *cli.Command {
	dir := func() cli.Flag {
		return &cli.StringFlag{Name: "dir", Value: certDir, Usage: "`DIRECTORY` of the authority and of what it signs"}
	}
	address := func() cli.Flag {
		return &cli.StringSliceFlag{Name: "address", Usage: "IP `ADDRESS` under which others reach the host's store"}
	}
	return &cli.Command{
		Name: "cert", Usage: "certificates for TLS between the hosts and the store",
		Description: `Needs no ovloomd. Nothing that exists is overwritten.

   ovloom cert ca
   ovloom cert host host1 --address 192.0.2.1`,
		Subcommands: []*cli.Command{
			{Name: "ca", Usage: "make the authority that signs the hosts' certificates", Flags: []cli.Flag{dir()}, Action: p.certCA,
				Description: "   ovloom cert ca\n   ovloom cert ca --dir ./pki"},
			p.takes(&cli.Command{Name: "host", Usage: "make a host's key and certificate", Flags: []cli.Flag{address(), dir()}, Action: p.certHost,
				Description: "   ovloom cert host host1 --address 192.0.2.1\n   ovloom cert host host2 --address 192.0.2.2 --address 198.51.100.2"}, path(intent.ClassHost)),
			p.takes(&cli.Command{Name: "renew", Usage: "replace a host's certificate by one that is valid from now on", Flags: []cli.Flag{address(), dir()}, Action: p.certRenew,
				Description: "The key stays, and so do the addresses if none is given.\n\n   ovloom cert renew host1"}, path(intent.ClassHost)),
		},
	}
}

// certFiles is the JSON output of cert: paths of files.
type certFiles struct {
	CA   string `json:"ca"`
	Cert string `json:"certificate"`
	Key  string `json:"key"`
}

func (p *program) certCA(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	f, err := pki.CreateCA(c.String("dir"))
	if err != nil {
		return err
	}
	return p.print(certFiles(f), func(out io.Writer) {
		fmt.Fprintf(out, "%s made: copy it to every host\n%s made: keep it here, and secret\n", f.CA, f.Key)
	})
}

func (p *program) certHost(c *cli.Context) error {
	return p.certOf(c, pki.CreateHost, func(out io.Writer, f pki.Files) {
		fmt.Fprintf(out, "%s made: copy it to the host, with %s\n%s made: copy it to that host alone\n", f.Cert, f.CA, f.Key)
	})
}

func (p *program) certRenew(c *cli.Context) error {
	return p.certOf(c, pki.RenewHost, func(out io.Writer, f pki.Files) {
		fmt.Fprintf(out, "%s renewed: copy it to the host\n", f.Cert)
	})
}

// certOf creates a host's files by make and prints their paths.
func (p *program) certOf(c *cli.Context, make func(dir, name string, addrs ...netip.Addr) (pki.Files, error), text func(io.Writer, pki.Files)) error {
	name, err := parsed(c, hostName)
	if err != nil {
		return err
	}
	var addrs []netip.Addr
	for _, s := range c.StringSlice("address") {
		a, err := intent.ParseAddr(s)
		if err != nil {
			return err
		}
		addrs = append(addrs, a)
	}
	f, err := make(c.String("dir"), name, addrs...)
	if err != nil {
		return err
	}
	return p.print(certFiles(f), func(out io.Writer) { text(out, f) })
}
