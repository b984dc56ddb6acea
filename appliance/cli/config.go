package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance/setting"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "show, validate and explain the configuration of this machine",
		Subcommands: []*cli.Command{
			{
				Name:      "show",
				Usage:     "print what skerry serve would use, and where each value comes from",
				ArgsUsage: " ",
				Description: "Takes the flags of skerry serve. -o yaml prints a file that says the same; secrets are never\n" +
					"printed. The registry need not run.",
				Flags:  append(serveFlags(), outputFlag()),
				Action: configShow,
			},
			{
				Name:      "validate",
				Usage:     "tell every mistake in a configuration file, and in flags and variables",
				ArgsUsage: "[FILE]",
				Description: "Prints one line for each mistake, FILE:LINE:COLUMN first, and exits with 1. Without FILE it reads\n" +
					"the file that skerry serve would read. The registry need not run.",
				Flags:  serveFlags(),
				Action: configValidate,
			},
			{
				Name:      "reference",
				Usage:     "list every setting with its default and meaning",
				ArgsUsage: " ",
				Flags: []cli.Flag{&cli.StringFlag{
					Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT`: table, markdown, json or yaml",
				}},
				Action: configReference,
			},
			{
				Name:      "example",
				Usage:     "print a file with every setting, its default and its meaning",
				ArgsUsage: " ",
				Description: "Settings that are given as flags of skerry serve have their value in it, all others are commented\n" +
					"out. Neither the file of this machine nor its variables are read.",
				Flags:  serveFlags(),
				Action: configExample,
			},
		},
	}
}

// shownSetting is one setting as it is printed.
type shownSetting struct {
	Key   string `json:"key"`
	Value any    `json:"value"` // a string, or a list of them
	From  string `json:"from"`
}

func configShow(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	conf, err := load(c)
	if err != nil {
		return err
	}
	conf.warn(c.App.ErrWriter)
	if c.String("output") == "yaml" {
		b, err := conf.table.YAML(conf.resolved.Origins)
		if err != nil {
			return err
		}
		_, err = c.App.Writer.Write(b)
		return err
	}
	shown := make([]shownSetting, len(conf.table))
	for i, s := range conf.table {
		shown[i] = shownSetting{s.Key, s.Shown(), conf.resolved.Origins[s.Key].Where}
		if s.Value.Shape() == setting.Many {
			shown[i].Value = s.Value.Texts()
		}
	}
	return show(c, shown, func(w io.Writer) {
		row(w, "KEY", "VALUE", "FROM")
		for i, s := range conf.table {
			row(w, s.Key, s.Shown(), shown[i].From)
		}
	})
}

func (conf *configuration) warn(w io.Writer) {
	for _, text := range conf.resolved.Warnings {
		_, _ = fmt.Fprintf(w, "warning: %s\n", text)
	}
}

func configValidate(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("%s wants one file at most", c.Command.FullName())
	}
	conf, err := (*configuration)(nil), error(nil)
	if file := c.Args().First(); file != "" {
		conf, err = loadFile(c, file, true, given(c))
	} else {
		conf, err = load(c)
	}
	conf.warn(c.App.ErrWriter)
	var mistakes setting.Mistakes
	if errors.As(err, &mistakes) {
		return invalidError{mistakes}
	}
	if err != nil {
		return err
	}
	what := conf.file
	if what == "" {
		what = "no configuration file; the rest"
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: valid\n", what)
	return err
}

// invalidError is what validate found: it did its work, wherever the mistakes are.
type invalidError struct{ setting.Mistakes }

// referenceRow is one setting as the reference prints it.
type referenceRow struct {
	Key      string `json:"key"`
	Flag     string `json:"flag"`
	Variable string `json:"variable"`
	Default  string `json:"default"`
	Reload   bool   `json:"reload"`
	Meaning  string `json:"meaning"`
}

func configReference(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	v := defaultValues()
	table := settings(&v)
	if c.String("output") == "markdown" {
		table.Markdown(c.App.Writer)
		return nil
	}
	rows := make([]referenceRow, len(table))
	for i, s := range table {
		rows[i] = referenceRow{s.Key, s.Flag(), s.Variable(), s.Shown(), s.Live, s.Meaning}
	}
	return show(c, rows, func(w io.Writer) {
		row(w, "KEY", "DEFAULT", "RELOAD", "MEANING")
		for _, r := range rows {
			row(w, r.Key, r.Default, yes(r.Reload), r.Meaning)
		}
	})
}

const exampleHead = `# What can be set for this machine; "skerry config validate" finds every mistake.
# Keys that are commented out show their default. Each is also a flag of "skerry
# serve" and a variable (SKERRY_...), which have precedence. What a reload applies
# is applied by "skerry reload"; everything else waits for a restart.
`

func configExample(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	v := defaultValues()
	table := settings(&v)
	flags := given(c)
	resolved, err := table.Resolve(setting.Sources{Flags: flags})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(c.App.Writer, exampleHead); err != nil {
		return err
	}
	return table.Example(c.App.Writer, func(key string) bool { return resolved.Origins[key].Source == setting.Flag })
}

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "have the registry read its configuration again",
		ArgsUsage: " ",
		Description: "Does what SIGHUP does, and tells what came of it: which settings took effect, and which wait for a\n" +
			"restart. When the file is mistaken nothing changes, the mistakes are printed, and the exit code is 1.",
		Flags:  connectFlags(outputFlag()),
		Action: reload,
	}
}

func reload(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	r, err := client.Reload(c.Context)
	if err != nil {
		return err
	}
	return show(c, r, func(w io.Writer) {
		if len(r.Changes) == 0 {
			row(w, "nothing has changed")
			return
		}
		row(w, "KEY", "FROM", "TO", "")
		for _, x := range r.Changes {
			came := "took effect"
			if !x.Applied {
				came = "needs a restart"
			}
			row(w, x.Key, x.From, x.To, came)
		}
	})
}
