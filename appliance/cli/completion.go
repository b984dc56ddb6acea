package cli

import (
	_ "embed"
	"fmt"

	"github.com/urfave/cli/v2"
)

//go:embed completion.bash
var bashCompletion string

//go:embed completion.zsh
var zshCompletion string

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the script that completes command lines in a shell",
		ArgsUsage:   "bash | zsh | fish",
		Description: "   source <(skerry completion bash)",
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, "SHELL")
			if err != nil {
				return err
			}
			script := ""
			switch args[0] {
			case "bash":
				script = bashCompletion
			case "zsh":
				script = zshCompletion
			case "fish":
				if script, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
			default:
				return usagef("shell %q: want bash, zsh or fish", args[0])
			}
			_, err = fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}
