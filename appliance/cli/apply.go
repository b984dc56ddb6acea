package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

func applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "store configuration objects",
		ArgsUsage: " ",
		Description: "Takes the objects that OpenShift takes, several in one file if need be: none is stored when one is\n" +
			"mistaken. What an object does not say has its default. FILE - is standard input.\n" +
			"   skerry get config.imageregistry -o yaml > config.yaml; edit config.yaml; skerry apply -f config.yaml",
		Flags: connectFlags(
			&cli.StringFlag{
				Name: "filename", Aliases: []string{"f"}, Required: true, Usage: "`FILE` with objects in YAML or JSON",
			},
			&cli.BoolFlag{Name: "dry-run", Usage: "only tell what would change, and what has no meaning here"},
			outputFlag(),
		),
		Action: apply,
	}
}

func apply(c *cli.Context) error {
	docs, err := readObjects(c.String("filename"))
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	would, err := applyAll(c, client, docs, true)
	if err != nil || c.Bool("dry-run") {
		return errors.Join(showApplied(c, would), err)
	}
	did, err := applyAll(c, client, referredFirst(docs, would), false)
	return errors.Join(showApplied(c, did), err)
}

// applyAll goes on to the end of a dry run, to tell every mistake.
func applyAll(c *cli.Context, client *api.Client, docs [][]byte, dryRun bool) (all []api.Applied, err error) {
	for i, doc := range docs {
		a, failed := client.ApplyObject(c.Context, api.ApplyRequest{Document: string(doc), DryRun: dryRun})
		if failed == nil {
			all = append(all, a)
			continue
		}
		if len(docs) > 1 && dryRun {
			failed = fmt.Errorf("document %d: %w", i+1, failed)
		}
		err = errors.Join(err, failed)
		if !dryRun {
			return all, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was applied:\n%w", err)
	}
	return all, nil
}

// referredFirst orders documents, of which it is known what they are, so that
// what others refer to is there when they come.
func referredFirst(docs [][]byte, are []api.Applied) [][]byte {
	var first, then [][]byte
	for i, doc := range docs {
		kind, _, _ := strings.Cut(are[i].Object, "/")
		if k, err := appliance.FindKind(kind); err == nil && k.Single() {
			then = append(then, doc)
			continue
		}
		first = append(first, doc)
	}
	return append(first, then...)
}

func readObjects(name string) ([][]byte, error) {
	file, err := readFile(name)
	if err != nil {
		return nil, err
	}
	docs, err := appliance.SplitObjects(file)
	if err == nil && len(docs) == 0 {
		err = errors.New("there is no object in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return docs, nil
}

func showApplied(c *cli.Context, all []api.Applied) error {
	if len(all) == 0 {
		return nil
	}
	return show(c, all, func(w io.Writer) {
		for _, a := range all {
			text := a.Object + " " + a.Result
			if a.DryRun {
				text += " (dry run)"
			}
			row(w, text)
			for _, change := range a.Changes {
				if a.DryRun || a.Result == "configured" {
					row(w, "  "+change.Path+": "+or(change.From, "-")+" → "+or(change.To, "-"))
				}
			}
			for _, warning := range a.Warnings {
				row(w, "  note: "+warning)
			}
		}
	})
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
