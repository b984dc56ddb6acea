package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

// manualWidth is how long lines of the page's source may be.
const manualWidth = 78

func manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		ArgsUsage:   " ",
		Description: "   skerry man | man -l -",
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "date", Usage: "`DATE` of this edition, as in 2026-11-28 (default: today)",
		}},
		Action: func(c *cli.Context) error {
			if _, err := wantArgs(c); err != nil {
				return err
			}
			date := c.String("date")
			if date == "" {
				date = time.Now().UTC().Format(time.DateOnly)
			}
			if _, err := time.Parse(time.DateOnly, date); err != nil {
				return usagef("date %q: want one as in 2026-11-28", date)
			}
			m := manual{w: c.App.Writer, told: map[string]bool{}}
			m.page(c.App, date)
			return nil
		},
	}
}

// A manual writes the page of an app, in the macros of man(7). Errors of the
// writer show where it is closed.
type manual struct {
	w    io.Writer
	told map[string]bool // flags that were explained already, by name and meaning
}

func (m manual) page(app *cli.App, date string) {
	m.line(`.TH SKERRY 1 "%s" "skerry %s"`, date, roff(appliance.Version()))
	m.section("NAME")
	m.line(`skerry \- %s`, roff(app.Usage))
	m.section("SYNOPSIS")
	m.line(`.B skerry`)
	m.line(`.I COMMAND`)
	m.line(`[options] [arguments]`)
	m.section("COMMANDS")
	m.commands(app.Name, app.Commands)
	m.section("ENVIRONMENT")
	m.line("Options that name a variable take its value where they are not given.")
	m.section("FILES")
	m.entry(configDefault, "what can be set for this machine; every key is an option of skerry serve")
	m.entry("DATA/admin-password", "password of the account admin, made by the first start")
	m.entry("DATA/trust/ca.crt", "certificate of the CA that clients must trust")
	m.section("EXIT STATUS")
	m.entry("0", "done")
	m.entry("1", "failed, or the configuration is mistaken")
	m.entry("2", "the command line makes no sense")
	m.entry("3", "done, and something wrong was found")
}

// commands explains commands, and those below them, under their whole names.
func (m manual) commands(above string, commands []*cli.Command) {
	for _, c := range commands {
		name := above + " " + c.Name
		switch {
		case c.Hidden, c.Name == "help":
		case len(c.Subcommands) > 0:
			m.commands(name, c.Subcommands)
		default:
			m.command(name, c)
		}
	}
}

func (m manual) command(name string, c *cli.Command) {
	m.line(`.SS "%s"`, roff(strings.TrimSpace(name+" "+strings.TrimSpace(c.ArgsUsage))))
	m.text(sentence(c.Usage))
	for i, text := range strings.Split(c.Description, "\n") {
		switch {
		case text == "":
		case strings.HasPrefix(text, " "): // a command to type
			m.line(".PP\n.in +4n\n.nf\n\\&%s\n.fi\n.in", roff(strings.TrimSpace(text)))
		default:
			if i == 0 {
				m.line(".PP")
			}
			m.text(text)
		}
	}
	var again []string
	for _, f := range c.Flags {
		if doc, ok := f.(cli.DocGenerationFlag); ok && f != cli.HelpFlag && !m.flag(f, doc) {
			again = append(again, "--"+f.Names()[0])
		}
	}
	if len(again) > 0 {
		m.line(".PP")
		m.text("Takes, as explained above: " + strings.Join(again, ", ") + ".")
	}
}

// flag explains a flag, unless another command has explained the same.
func (m manual) flag(f cli.Flag, doc cli.DocGenerationFlag) bool {
	usage := doc.GetUsage()
	key := f.Names()[0] + " " + usage
	if m.told[key] {
		return false
	}
	m.told[key] = true
	var names []string
	for _, n := range f.Names() {
		names = append(names, strings.Repeat("-", min(len(n), 2))+n)
	}
	name := strings.Join(names, ", ")
	if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
		name += " " + parts[1]
	}
	if def := doc.GetDefaultText(); doc.TakesValue() && def != "" && def != `""` && !strings.Contains(usage, "(default") {
		usage += " (default: " + strings.Trim(def, `"`) + ")"
	}
	if vars := doc.GetEnvVars(); len(vars) > 0 {
		usage += " [$" + strings.Join(vars, ", $") + "]"
	}
	m.entry(name, strings.ReplaceAll(usage, "`", ""))
	return true
}

func (m manual) section(name string) { m.line(".SH %s", name) }

func (m manual) entry(name, meaning string) {
	m.line(".TP\n.B %s", roff(name))
	m.text(sentence(meaning))
}

func (m manual) line(format string, args ...any) { _, _ = fmt.Fprintf(m.w, format+"\n", args...) }

// text writes a text in lines of a length that people can edit.
func (m manual) text(text string) {
	line := ""
	for _, word := range strings.Fields(roff(text)) {
		if line != "" && len(line)+1+len(word) > manualWidth {
			m.line("%s", line)
			line = ""
		}
		if line == "" && strings.HasPrefix(word, ".") {
			word = `\&` + word // else it would be a macro
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	m.line("%s", line)
}

// sentence makes one of half a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// roff writes text so that nothing in it is an escape.
func roff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`, "'", `\(aq`).Replace(s)
}
