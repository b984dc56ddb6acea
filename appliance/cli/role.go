package cli

import (
	"io"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

func roleCommand() *cli.Command {
	return &cli.Command{
		Name:  "role",
		Usage: "say who may do what",
		Subcommands: []*cli.Command{
			{
				Name: "grant", Usage: "grant a role on repositories", ArgsUsage: "ROLE",
				Description: "PATTERN is a namespace, the first element of repositories' names (team, team-*), or with a\n" +
					"slash in it a whole name (team/app, team/*); * is all there is. The group system:authenticated\n" +
					"is everybody who logged in, system:unauthenticated is everybody:\n" +
					"   skerry role grant registry-editor --user ann --on team\n" +
					"   skerry role grant system:image-puller --group system:unauthenticated --on public",
				Flags: subjectFlags(), Action: roleGrant,
			},
			{
				Name: "revoke", Usage: "take a role away", ArgsUsage: "ROLE",
				Flags: subjectFlags(), Action: roleRevoke,
			},
			{
				Name: "list", Usage: "list what was granted", ArgsUsage: " ",
				Flags: connectFlags(outputFlag()), Action: roleList,
			},
			{
				Name: "names", Usage: "list the roles there are", ArgsUsage: " ",
				Flags: []cli.Flag{outputFlag()}, Action: roleNames,
			},
		},
	}
}

func subjectFlags() []cli.Flag {
	return connectFlags(
		&cli.StringFlag{Name: "user", Usage: "`NAME` of an account, of a certificate or at the OIDC issuer"},
		&cli.StringFlag{Name: "group", Usage: "`NAME` of a group"},
		&cli.StringFlag{Name: "token", Usage: "`NAME` of a robot's token"},
		&cli.StringFlag{Name: "on", Usage: "`PATTERN` of repositories"},
	)
}

// grantOf reads ROLE and the flags.
func grantOf(c *cli.Context) (g api.Grant, err error) {
	args, err := wantArgs(c, "ROLE")
	if err != nil {
		return g, err
	}
	g.Role, g.On = args[0], c.String("on")
	if g.On == "" {
		return g, usagef("say on which repositories, with --on")
	}
	named := 0
	for flag, kind := range map[string]meta.SubjectKind{
		"user": meta.SubjectUser, "group": meta.SubjectGroup, "token": meta.SubjectToken,
	} {
		if name := c.String(flag); name != "" {
			g.Kind, g.Subject = kind, name
			named++
		}
	}
	if named != 1 {
		return g, usagef("name one of --user, --group and --token")
	}
	return g, nil
}

func roleGrant(c *cli.Context) error {
	g, err := grantOf(c)
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	return client.Grant(c.Context, g)
}

func roleRevoke(c *cli.Context) error {
	g, err := grantOf(c)
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	return client.Revoke(c.Context, g)
}

func roleList(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	grants, err := client.Grants(c.Context)
	if err != nil {
		return err
	}
	return show(c, grants, func(w io.Writer) {
		row(w, "ROLE", "KIND", "WHO", "ON", "SINCE", "BY")
		for _, g := range grants {
			row(w, g.Role, g.Kind, g.Subject, g.On, age(g.Created), g.Actor)
		}
	})
}

func roleNames(c *cli.Context) error {
	roles := appliance.Roles()
	return show(c, roles, func(w io.Writer) {
		row(w, "ROLE", "MAY")
		for _, r := range roles {
			row(w, r.Name, r.Summary)
		}
	})
}
