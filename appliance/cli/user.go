package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance/api"
)

func userCommand() *cli.Command {
	return &cli.Command{
		Name:  "user",
		Usage: "make, list and delete accounts",
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "make an account", ArgsUsage: "NAME",
				Description: "Without a password one is made and printed, once. An account may do nothing until a role\n" +
					"is granted to it or to one of its groups (skerry role grant), unless it administers.",
				Flags: passwordFlags(
					&cli.BoolFlag{Name: "admin", Usage: "may do everything"},
					&cli.StringSliceFlag{Name: "group", Usage: "`GROUP` that roles are granted to (repeatable)"},
				), Action: userAdd,
			},
			{
				Name: "passwd", Usage: "change a password, which ends all logins with the old one", ArgsUsage: "NAME",
				Flags: passwordFlags(), Action: userPasswd,
			},
			{
				Name: "list", Usage: "list accounts", ArgsUsage: " ",
				Flags: connectFlags(outputFlag()), Action: userList,
			},
			{
				Name: "delete", Usage: "delete an account and the roles granted to it", ArgsUsage: "NAME",
				Flags: connectFlags(), Action: userDelete,
			},
		},
	}
}

// passwordFlags are connectFlags, but --password-file is the new password, and
// --login-password-file that of the login.
func passwordFlags(more ...cli.Flag) []cli.Flag {
	flags := slices.DeleteFunc(connectFlags(), func(f cli.Flag) bool {
		return slices.Contains(f.Names(), "password-file")
	})
	return append(append(flags,
		&cli.StringFlag{
			Name: "login-password-file", EnvVars: env("PASSWORD_FILE"),
			Usage: "`FILE` with the password of --username (default: $SKERRY_PASSWORD)",
		},
		&cli.StringFlag{Name: "password-file", Usage: "`FILE` with the new password"},
		&cli.BoolFlag{Name: "password-stdin", Usage: "read the new password from standard input"},
	), more...)
}

// setsPassword says whether --password-file is a new password.
func setsPassword(c *cli.Context) bool {
	return slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool {
		return slices.Contains(f.Names(), "login-password-file")
	})
}

// newPassword reads the password that was chosen, if any.
func newPassword(c *cli.Context) (string, error) {
	file := c.String("password-file")
	if file != "" && c.Bool("password-stdin") {
		return "", usagef("--password-file and --password-stdin: choose one")
	}
	from := c.App.Reader
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		from = f
	case !c.Bool("password-stdin"):
		return "", nil
	}
	line, err := bufio.NewReader(io.LimitReader(from, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", errors.New("read password: the first line is empty")
	}
	return password, nil
}

// tellSecret prints a secret that was made, alone, so that it can be captured.
func tellSecret(c *cli.Context, secret, what string) error {
	if secret == "" {
		return nil
	}
	_, _ = fmt.Fprintf(c.App.ErrWriter, "%s; it is shown only now:\n", what)
	_, err := fmt.Fprintln(c.App.Writer, secret)
	return err
}

func userAdd(c *cli.Context) error {
	args, err := wantArgs(c, "NAME")
	if err != nil {
		return err
	}
	password, err := newPassword(c)
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	made, err := client.AddUser(c.Context, args[0], api.UserRequest{
		Password: password, Admin: c.Bool("admin"), Groups: c.StringSlice("group"),
	})
	if err != nil {
		return err
	}
	return tellSecret(c, made, "The password of "+args[0])
}

func userPasswd(c *cli.Context) error {
	args, err := wantArgs(c, "NAME")
	if err != nil {
		return err
	}
	password, err := newPassword(c)
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	made, err := client.SetPassword(c.Context, args[0], api.PasswordRequest{Password: password})
	if err != nil {
		return err
	}
	return tellSecret(c, made, "The new password of "+args[0])
}

func userList(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	users, err := client.Users(c.Context)
	if err != nil {
		return err
	}
	return show(c, users, func(w io.Writer) {
		row(w, "NAME", "ADMIN", "GROUPS", "CREATED")
		for _, u := range users {
			row(w, u.Name, yes(u.Admin), strings.Join(u.Groups, ","), age(u.Created))
		}
	})
}

func userDelete(c *cli.Context) error {
	args, err := wantArgs(c, "NAME")
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	return client.DeleteUser(c.Context, args[0])
}
