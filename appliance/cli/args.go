package cli

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command before its arguments, so that they
// may stand on either side, as with podman and kubectl. Behind "--" nothing is
// moved.
func flagsFirst(app *cli.App, args []string) []string {
	commands, i := app.Commands, 1
	var flags []cli.Flag
	for i < len(args) {
		cmd := named(commands, args[i])
		if cmd == nil {
			break
		}
		commands, flags = cmd.Subcommands, cmd.Flags
		i++
	}
	head := args[:i:i]
	var moved, rest []string
	for ; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		moved = append(moved, arg)
		if i+1 < len(args) && takesValue(flags, arg) {
			i++
			moved = append(moved, args[i])
		}
	}
	return append(append(head, moved...), rest...)
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether the word after arg belongs to it.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				d, ok := f.(cli.DocGenerationFlag)
				return ok && d.TakesValue()
			}
		}
	}
	return false
}
