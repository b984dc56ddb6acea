package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/setting"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
	exitFound = 3
)

// errFound is returned by commands that did their work and found problems,
// which they have printed already.
var errFound = errors.New("problems were found")

// usageError marks a mistake in the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run runs one command line, args[0] being the program's name, and returns the
// exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, flagsFirst(app, args))
	var usage usageError
	var mistakes setting.Mistakes
	var invalid invalidError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitFound
	case errors.As(err, &invalid):
		_, _ = fmt.Fprintln(stderr, err)
		return exitFail
	case errors.As(err, &mistakes):
		_, _ = fmt.Fprintln(stderr, err)
		if mistakes.All(setting.Flag) {
			return exitUsage
		}
		return exitFail
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "skerry: %v\nSee skerry --help.\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		_, _ = fmt.Fprintln(stderr, "skerry: interrupted")
		return exitFail
	}
	_, _ = fmt.Fprintf(stderr, "skerry: %v\n", err)
	return exitFail
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:                 "skerry",
		Usage:                "a container registry for places with no cloud under them",
		Version:              appliance.Version(),
		HideVersion:          true, // the command version says more
		Writer:               stdout,
		ErrWriter:            stderr,
		EnableBashCompletion: true,
		ExitErrHandler:       func(*cli.Context, error) {}, // Run decides
		OnUsageError:         onUsageError,
		Action:               noCommand,
		Commands: []*cli.Command{
			serveCommand(),
			configCommand(),
			reloadCommand(),
			statusCommand(),
			clusterCommand(),
			getCommand(),
			applyCommand(),
			deleteCommand(),
			explainCommand(),
			userCommand(),
			tokenCommand(),
			roleCommand(),
			tagCommand(),
			deletedCommand(),
			undeleteCommand(),
			pruneCommand(),
			gcCommand(),
			scrubCommand(),
			checkCommand(),
			backupCommand(),
			restoreCommand(),
			trustCommand(),
			completionCommand(),
			manCommand(),
			versionCommand(),
		},
	}
	settle(app.Commands)
	return app
}

// settle gives all commands what the app gives only itself.
func settle(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		if len(c.Subcommands) > 0 {
			c.Action = noCommand
		}
		settle(c.Subcommands)
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// noCommand runs when no command matches.
func noCommand(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("there is no command %q", c.Args().First())
	}
	return cli.ShowSubcommandHelp(c)
}

// wantArgs returns the arguments if there are as many as names.
func wantArgs(c *cli.Context, names ...string) ([]string, error) {
	if c.NArg() != len(names) {
		return nil, usagef("%s wants %d arguments %v, got %d", c.Command.FullName(), len(names), names, c.NArg())
	}
	return c.Args().Slice(), nil
}
