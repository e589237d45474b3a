// ovloom store member

package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) memberCommand() *cli.Command {
	return &cli.Command{
		Name: "member", Usage: "members of a store that several hosts run together",
		Description: `With three members the store goes on when one is lost, with five when two are.

   ovloom store member add host2
   ovloom store member list`,
		Subcommands: []*cli.Command{
			p.takes(&cli.Command{Name: "add", Usage: "have the store expect a new member", Action: p.memberAdd,
				Flags: []cli.Flag{&cli.StringFlag{Name: "url", Usage: "`URL` where the other members will reach it, such as https://192.0.2.2:2380; without, it is by the VTEP address of the host"}},
				Description: `It prints what to do on that host. The new member takes in all that is in the store, and has a vote as soon as it has; nothing waits for it. Add one after the other.

   ovloom store member add host2
   ovloom store member add host3 --url https://10.1.0.3:2380`}, path(intent.ClassHost)),
			{Name: "list", Usage: "list the members, and whether they answer", Action: p.memberList,
				Description: "It works also while too few members answer for anything to be changed.\n\n   ovloom store member list\n   ovloom store member list -o json"},
			p.takes(&cli.Command{Name: "remove", Usage: "take a member out of the store for good", Action: p.memberRemove,
				Description: `One that is lost with its data, before another takes its place; or one that is still there. One that has not joined has no name yet: give its URL.

   ovloom store member remove host2
   ovloom store member remove https://192.0.2.2:2380`}, argument{usage: "MEMBER", words: memberNames}),
		},
	}
}

var memberColumns = []string{"MEMBER", "STATE", "ROLE", "REACHED AT", "SERVES AT"}

func memberRow(m api.StoreMember) []string {
	role := "follows"
	switch {
	case m.Leader:
		role = "leads"
	case m.State != "up":
		role = ""
	}
	return []string{m.Name, m.State, role, m.Peer, strings.Join(m.URLs, ", ")}
}

func (p *program) memberList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	h, err := p.client.StoreHealth(ctx)
	if err != nil {
		return err
	}
	return p.print(h.Members, func(out io.Writer) {
		rows := make([][]string, len(h.Members))
		for i, m := range h.Members {
			rows[i] = memberRow(m)
		}
		table(out, memberColumns, rows)
	})
}

func (p *program) memberAdd(c *cli.Context) error {
	name, err := onlyArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	j, err := p.client.AddStoreMember(ctx, api.StoreMemberSpec{Name: name, Peer: c.String("url")})
	if err != nil {
		return err
	}
	return p.print(j, func(out io.Writer) {
		join := strings.Join(j.Join, ", ")
		fmt.Fprintf(out, `the store expects member %[1]s at %[2]s

On %[1]s, in /etc/ovloom/ovloomd.yaml, in place of store:

    store-listen: [%[3]s]
    store-join: [%[4]s]

then: systemctl restart ovloomd (packets keep flowing)

On hosts without a member, so that they go on when one is lost:

    store: [%[4]s, %[3]s]
`, j.Name, j.Peer, j.Listen, join)
	})
}

func (p *program) memberRemove(c *cli.Context) error {
	which, err := onlyArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	m, err := p.client.RemoveStoreMember(ctx, which)
	if err != nil {
		return err
	}
	return p.print(m, func(out io.Writer) {
		fmt.Fprintf(out, "member %s removed from the store\n", which)
		if m.State == "up" {
			fmt.Fprintf(out, "on that host, in /etc/ovloom/ovloomd.yaml, write store: instead of store-listen: and store-join:, then: systemctl restart ovloomd\n")
		}
	})
}

// memberNames completes the store's members: by URL if a member has no name yet.
func memberNames(p *program, l line, _ string) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	h, err := client.StoreHealth(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range h.Members {
		names = append(names, cmp.Or(m.Name, m.Peer))
	}
	return names
}
