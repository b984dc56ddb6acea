package cli

import (
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/setting"
)

func tokenCommand() *cli.Command {
	return &cli.Command{
		Name:  "token",
		Usage: "make, list and delete robots' tokens",
		Subcommands: []*cli.Command{
			{
				Name: "create", Usage: "make a token and print its secret", ArgsUsage: "NAME",
				Description: "A robot logs in with NAME and the secret, or sends the secret as a bearer token.\n" +
					"   skerry token create ci --role system:image-pusher --on team --expires 90d",
				Flags: connectFlags(
					&cli.StringFlag{Name: "expires", Value: "90d", Usage: "`WHEN`: 90d, 12h, or never"},
					&cli.StringFlag{Name: "role", Usage: "`ROLE` to grant (skerry role names)"},
					&cli.StringSliceFlag{Name: "on", Usage: "`PATTERN` of repositories that the role is for (repeatable)"},
				), Action: tokenCreate,
			},
			{
				Name: "list", Usage: "list tokens", ArgsUsage: " ",
				Flags: connectFlags(outputFlag()), Action: tokenList,
			},
			{
				Name: "delete", Usage: "delete a token, which ends its logins at once", ArgsUsage: "NAME",
				Flags: connectFlags(), Action: tokenDelete,
			},
		},
	}
}

func tokenCreate(c *cli.Context) error {
	args, err := wantArgs(c, "NAME")
	if err != nil {
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
	secret, err := client.AddToken(c.Context, args[0], api.TokenRequest{
		Expires: expires, Role: c.String("role"), On: c.StringSlice("on"),
	})
	if err != nil {
		return err
	}
	return tellSecret(c, secret, "The secret of "+args[0])
}

// parseExpires reads a time from now on; the zero time is never.
func parseExpires(s string, now time.Time) (time.Time, error) {
	if s == "never" {
		return time.Time{}, nil
	}
	d, err := setting.ParsePeriod(s)
	if err != nil {
		return time.Time{}, usagef("--expires %q: want days as in 90d, hours as in 12h, or never", s)
	}
	return now.Add(d), nil
}

func tokenList(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	tokens, err := client.Tokens(c.Context)
	if err != nil {
		return err
	}
	return show(c, tokens, func(w io.Writer) {
		row(w, "NAME", "EXPIRES", "CREATED", "BY")
		for _, t := range tokens {
			expires := "never"
			if !t.Expires.IsZero() {
				expires = age(t.Expires)
			}
			if t.Expired {
				expires += " (expired)"
			}
			row(w, t.Name, expires, age(t.Created), t.Actor)
		}
	})
}

func tokenDelete(c *cli.Context) error {
	args, err := wantArgs(c, "NAME")
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	return client.DeleteToken(c.Context, args[0])
}
