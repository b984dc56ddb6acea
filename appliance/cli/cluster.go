package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance/api"
)

func clusterCommand() *cli.Command {
	return &cli.Command{
		Name:  "cluster",
		Usage: "see and change which nodes are one registry",
		Subcommands: []*cli.Command{
			{
				Name: "members", Usage: "list the nodes", ArgsUsage: " ",
				Flags: connectFlags(outputFlag()), Action: clusterMembers,
			},
			{
				Name: "token", Usage: "make, list and revoke the tokens that nodes join with",
				Subcommands: []*cli.Command{
					{
						Name: "create", Usage: "make a token and print it", ArgsUsage: " ",
						Description: "Whoever has the token can join until it ends, and then has everything the cluster has:\n" +
							"   skerry serve --data DIR --join ADDRESS --token TOKEN",
						Flags: connectFlags(
							&cli.StringFlag{Name: "expires", Value: "1h", Usage: "`WHEN` it ends: 1h, 30m, 2d"},
							&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print nothing but the token"},
						), Action: clusterInvite,
					},
					{
						Name: "list", Usage: "list the tokens", ArgsUsage: " ",
						Flags: connectFlags(outputFlag()), Action: clusterInvitations,
					},
					{
						Name: "revoke", Usage: "end a token", ArgsUsage: "ID",
						Flags: connectFlags(), Action: clusterChange("ID", clusterRevoke),
					},
				},
			},
			{
				Name: "digest", Usage: "hash the metadata of a node, to compare it with that of others", ArgsUsage: " ",
				Description: "Nodes that print the same index print the same digest; if they do not, one of them is damaged.",
				Flags:       connectFlags(outputFlag()), Action: clusterDigest,
			},
			{
				Name: "drain", Usage: "have a node's copies made elsewhere, and its vote given to another", ArgsUsage: "NODE",
				Flags: connectFlags(), Action: clusterChange("NODE", clusterDrain),
			},
			{
				Name: "activate", Usage: "end a drain", ArgsUsage: "NODE",
				Flags: connectFlags(), Action: clusterChange("NODE", clusterActivate),
			},
			{
				Name: "remove", Usage: "take a node out for good", ArgsUsage: "NODE",
				Description: "A node that was removed cannot come back with its disk: it joins again, as another one.",
				Flags: connectFlags(
					&cli.BoolFlag{Name: "force", Usage: "though it is the only one that has some blobs: its disk is lost"},
				), Action: clusterChange("NODE", clusterRemove),
			},
			clusterRecoverCommand(),
		},
	}
}

func clusterMembers(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	all, err := client.Members(c.Context)
	if err != nil {
		return err
	}
	return show(c, all, func(w io.Writer) {
		row(w, "NODE", "ZONE", "ADDRESS", "VOTE", "STATE", "SEEN", "BEHIND", "FREE", "SIZE", "VERSION")
		for _, m := range all {
			row(w, m.Name, m.Zone, m.Address, vote(m), state(m), lastSeen(m), m.Behind, size(m.Free), size(m.Capacity),
				m.Version)
		}
	})
}

func clusterDigest(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	d, err := client.Digest(c.Context)
	if err != nil {
		return err
	}
	return show(c, d, func(w io.Writer) { row(w, d.Index, d.Digest) })
}

func vote(m api.Member) string {
	switch {
	case m.Leader:
		return "leader"
	case m.Voter:
		return "voter"
	}
	return "-"
}

func state(m api.Member) string {
	if m.Role == "full" {
		return m.State
	}
	return m.State + ", " + m.Role
}

func lastSeen(m api.Member) string {
	switch {
	case m.Here:
		return "here"
	case m.Reachable:
		return "now"
	case m.Seen.IsZero():
		return "never"
	}
	return age(m.Seen)
}

func clusterInvite(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	expires, err := parseExpires(c.String("expires"), time.Now())
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	token, err := client.Invite(c.Context, expires)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, token)
	if err != nil || c.Bool("quiet") {
		return err
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "It ends %s. On the new node, with an address of this one:\n\n"+
		"  skerry serve --data DIR --join ADDRESS --token TOKEN\n", age(expires))
	return err
}

func clusterInvitations(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	all, err := client.Invitations(c.Context)
	if err != nil {
		return err
	}
	return show(c, all, func(w io.Writer) {
		row(w, "ID", "EXPIRES", "BY")
		for _, i := range all {
			expires := age(i.Expires)
			if i.Expired {
				expires += " (expired)"
			}
			row(w, i.ID, expires, i.Actor)
		}
	})
}

// clusterChange is the action of a command that names one thing and changes it.
func clusterChange(what string, change func(c *cli.Context, client *api.Client, name string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := wantArgs(c, what)
		if err != nil {
			return err
		}
		client, err := connect(c)
		if err != nil {
			return err
		}
		return change(c, client, args[0])
	}
}

func clusterRevoke(c *cli.Context, client *api.Client, id string) error {
	return client.RevokeInvitation(c.Context, id)
}

func clusterDrain(c *cli.Context, client *api.Client, name string) error {
	return client.DrainMember(c.Context, name, false)
}

func clusterActivate(c *cli.Context, client *api.Client, name string) error {
	return client.DrainMember(c.Context, name, true)
}

func clusterRemove(c *cli.Context, client *api.Client, name string) error {
	return client.RemoveMember(c.Context, name, c.Bool("force"))
}
