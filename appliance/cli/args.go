package cli

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command before its arguments, so that they
// may stand on either side, as with podman and kubectl. Behind "--" nothing is
// moved.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) > 1 && args[len(args)-1] == completionFlag {
		return untyped(args)
	}
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

// completionFlag is what completion scripts put last.
const completionFlag = "--generate-bash-completion"

// untyped leaves out the beginning of a flag that has no letter yet: it would
// end the flags. What there is to complete is still in os.Args.
func untyped(args []string) []string {
	if i := len(args) - 2; args[i] == "-" || args[i] == "--" {
		return append(args[:i:i], completionFlag)
	}
	return args
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
