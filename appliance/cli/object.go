package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

func getCommand() *cli.Command {
	return &cli.Command{
		Name:      "get",
		Usage:     "show configuration objects with their status",
		ArgsUsage: "KIND [NAME] | KIND/NAME | all",
		Description: "Kinds are config.imageregistry, imagepruner, image.config, secret and configmap, in the words that\n" +
			"kubectl takes. Values of secrets are hidden unless --show-secrets asks for them, which is logged.",
		Flags: connectFlags(
			&cli.StringFlag{
				Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT`: table, wide, json or yaml",
			},
			&cli.BoolFlag{Name: "show-secrets", Usage: "show secret values of the object named"},
		),
		Action: get,
	}
}

func get(c *cli.Context) error {
	kinds, name, err := objectArgs(c)
	if err != nil {
		return err
	}
	if c.Bool("show-secrets") && name == "" {
		return usagef("--show-secrets wants the name of one object")
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	if name != "" {
		doc, err := getOne(c, client, kinds[0], name)
		if err != nil {
			return err
		}
		return showObjects(c, doc, []json.RawMessage{doc})
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List"}
	items := []json.RawMessage{}
	for _, k := range kinds {
		docs, err := client.Objects(c.Context, k)
		if err != nil {
			return err
		}
		items = append(items, docs...)
	}
	list["items"] = items
	if len(kinds) == 1 && kinds[0].Single() {
		return showObjects(c, items[0], items)
	}
	return showObjects(c, list, items)
}

func getOne(c *cli.Context, client *api.Client, k appliance.Kind, name string) (json.RawMessage, error) {
	if c.Bool("show-secrets") {
		return client.Reveal(c.Context, api.ObjectName{Kind: k.Name, Name: name})
	}
	return client.Object(c.Context, k, name)
}

// objectArgs reads KIND, KIND NAME, KIND/NAME or all. The name is "" when none
// is given.
func objectArgs(c *cli.Context) (kinds []appliance.Kind, name string, err error) {
	args := c.Args().Slice()
	if len(args) == 1 && args[0] == "all" {
		return appliance.Kinds(), "", nil
	}
	if len(args) == 1 {
		if word, rest, ok := strings.Cut(args[0], "/"); ok {
			args = []string{word, rest}
		}
	}
	if len(args) == 0 || len(args) > 2 || (len(args) == 2 && args[1] == "") {
		return nil, "", usagef("%s wants %s", c.Command.FullName(), c.Command.ArgsUsage)
	}
	k, err := appliance.FindKind(args[0])
	if err != nil {
		return nil, "", usageError{err}
	}
	if len(args) == 2 {
		name = args[1]
	}
	return []appliance.Kind{k}, name, nil
}

// A summary is what a table shows of an object.
type summary struct {
	Kind     string `json:"kind"`
	Type     string `json:"type"` // of a Secret
	Metadata struct {
		Name    string    `json:"name"`
		Created time.Time `json:"creationTimestamp"`
		Version string    `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		State string `json:"managementState"`
	} `json:"spec"`
	Status struct {
		Conditions []api.Condition `json:"conditions"`
	} `json:"status"`
}

// is the status of one of the object's conditions, "-" for those it has not.
func (s summary) is(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Status
		}
	}
	return "-"
}

func (s summary) state() string {
	switch {
	case s.Spec.State != "":
		return s.Spec.State
	case s.Type != "":
		return s.Type
	}
	return "-"
}

// showObjects prints v, or a table of the objects that it is made of.
func showObjects(c *cli.Context, v any, items []json.RawMessage) error {
	wide := c.String("output") == "wide"
	rows := make([]summary, len(items))
	for i, doc := range items {
		if err := json.Unmarshal(doc, &rows[i]); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
	}
	if wide {
		if err := c.Set("output", "table"); err != nil {
			return err
		}
	}
	return show(c, v, func(w io.Writer) {
		head := []any{"NAME", "STATE", "AVAILABLE", "PROGRESSING", "DEGRADED", "AGE"}
		if wide {
			head = append(head, "VERSION", "MESSAGE")
		}
		row(w, head...)
		for _, s := range rows {
			k, _ := appliance.FindKind(s.Kind)
			cells := []any{
				k.Short + "/" + s.Metadata.Name, s.state(), s.is("Available"), s.is("Progressing"), s.is("Degraded"),
				since(s.Metadata.Created),
			}
			if wide {
				cells = append(cells, s.Metadata.Version, abnormal(s.Status.Conditions))
			}
			row(w, cells...)
		}
	})
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(t)
}

// abnormal is the first message that an operator should look at.
func abnormal(conditions []api.Condition) string {
	for _, c := range conditions {
		bad := strings.HasSuffix(c.Type, "Degraded") && c.Status == "True" ||
			strings.HasSuffix(c.Type, "Available") && c.Status != "True" || c.Type == "Progressing" && c.Status == "True"
		if bad {
			return strings.ReplaceAll(c.Message, "\n", "; ")
		}
	}
	return ""
}

func deleteCommand() *cli.Command {
	return &cli.Command{
		Name:        "delete",
		Usage:       "remove a configuration object",
		ArgsUsage:   "KIND NAME | KIND/NAME",
		Description: "config.imageregistry, imagepruner and image.config come back with their defaults.",
		Flags:       connectFlags(),
		Action: func(c *cli.Context) error {
			kinds, name, err := objectArgs(c)
			if err != nil {
				return err
			}
			if name == "" {
				return usagef("delete wants the name of one object")
			}
			client, err := connect(c)
			if err != nil {
				return err
			}
			if err := client.DeleteObject(c.Context, api.ObjectName{Kind: kinds[0].Name, Name: name}); err != nil {
				return err
			}
			result := "deleted"
			if kinds[0].Single() {
				result = "reset to its defaults"
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s/%s %s\n", kinds[0].Short, name, result)
			return err
		},
	}
}

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "tell what a field of a configuration object means, and what is done with it here",
		ArgsUsage: "KIND[.FIELD...]",
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, "KIND[.FIELD...]")
			if err != nil {
				return err
			}
			text, err := appliance.Explain(args[0])
			if err != nil {
				return usageError{err}
			}
			_, err = io.WriteString(c.App.Writer, text)
			return err
		},
	}
}
