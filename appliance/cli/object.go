package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

const prunerName = "cluster" // there is one of each kind, and it is called so

func getCommand() *cli.Command {
	return &cli.Command{
		Name:      "get",
		Usage:     "show a configuration object with its status",
		ArgsUsage: "imagepruner",
		Flags: connectFlags(&cli.StringFlag{
			Name: "output", Aliases: []string{"o"}, Value: "yaml", Usage: "`FORMAT`: yaml or json",
		}),
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, "KIND")
			if err != nil {
				return err
			}
			kind, name, ok := strings.Cut(strings.ToLower(args[0]), "/")
			if kind != "imagepruner" && kind != "imagepruners" {
				return usagef("there are no objects of kind %q; there is imagepruner", kind)
			}
			if !ok {
				name = prunerName
			}
			client, err := connect(c)
			if err != nil {
				return err
			}
			doc, err := client.Pruner(c.Context, name)
			if err != nil {
				return err
			}
			return show(c, doc, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s\n", doc) })
		},
	}
}

func applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "store a configuration object",
		ArgsUsage: " ",
		Description: "Takes the same ImagePruner object that OpenShift takes. FILE - is standard input.\n" +
			"   skerry get imagepruner > pruner.yaml; edit pruner.yaml; skerry apply -f pruner.yaml",
		Flags: connectFlags(&cli.StringFlag{
			Name: "filename", Aliases: []string{"f"}, Required: true, Usage: "`FILE` with the object in YAML or JSON",
		}),
		Action: apply,
	}
}

func apply(c *cli.Context) error {
	doc, err := readFile(c.String("filename"))
	if err != nil {
		return err
	}
	o, err := appliance.Identify(doc)
	if err != nil {
		return err
	}
	if o.Kind != "ImagePruner" {
		return fmt.Errorf("%s: objects of kind %s have no meaning here yet; ImagePruner has", c.String("filename"), o.Kind)
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	if err := client.ApplyPruner(c.Context, o.Metadata.Name, doc); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s/%s configured\n", strings.ToLower(o.Kind), o.Metadata.Name)
	return err
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
