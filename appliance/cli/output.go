package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"skerry.dev/skerry/appliance"
)

// show prints v in the format that --output asks for; table writes the rows
// of a table, tab between the columns.
func show(c *cli.Context, v any, table func(w io.Writer)) error {
	out := c.App.Writer
	switch format := c.String("output"); format {
	case "table":
		tw := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
		table(tw)
		return tw.Flush()
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		y, err := appliance.YAML(b)
		if err != nil {
			return err
		}
		_, err = out.Write(y)
		return err
	default:
		return usagef("output format %q: want table, json or yaml", format)
	}
}

func row(w io.Writer, cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			_, _ = fmt.Fprint(w, "\t")
		}
		_, _ = fmt.Fprint(w, cell)
	}
	_, _ = fmt.Fprintln(w)
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

func age(t time.Time) string { return humanize.Time(t) }

// bar shows progress in bytes on w while it is a terminal; elsewhere it shows
// nothing.
func bar(w io.Writer, what string, total int64) *progressbar.ProgressBar {
	f, ok := w.(interface{ Fd() uintptr })
	visible := ok && term.IsTerminal(int(f.Fd()))
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
	)
}
