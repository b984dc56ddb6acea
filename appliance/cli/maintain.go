package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

func gcCommand() *cli.Command {
	return &cli.Command{
		Name:      "gc",
		Usage:     "remove what nothing refers to any more",
		ArgsUsage: " ",
		Description: "Runs the garbage collection that also runs by itself. Content is removed when nothing has referred\n" +
			"to it for the grace period; until then it can be undeleted. Pushes and pulls go on meanwhile.",
		Flags:  connectFlags(outputFlag(), dryRunFlag()),
		Action: gc,
	}
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "tell what would be done, and do nothing"}
}

func gc(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	r, err := client.Collect(c.Context, api.CollectRequest{DryRun: c.Bool("dry-run")})
	if err != nil {
		return err
	}
	return show(c, r, func(w io.Writer) {
		verb := "Removed"
		if r.DryRun {
			verb = "Would remove"
		}
		row(w, verb, fmt.Sprintf("%d blobs", r.Blobs), size(r.Bytes))
		row(w, "", fmt.Sprintf("%d manifests", r.Manifests))
		row(w, "Within the grace", fmt.Sprintf("%d blobs", r.Waiting), size(r.WaitingBytes))
		row(w, "In use", fmt.Sprintf("%d blobs", r.Kept))
	})
}

func pruneCommand() *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "apply the retention rules to tags and manifests",
		ArgsUsage: " ",
		Description: "Runs the pruner that the ImagePruner object schedules, with its settings unless flags say\n" +
			"otherwise. What it deletes can be undeleted within the grace period; skerry gc frees the space afterwards.",
		Flags: connectFlags(outputFlag(), dryRunFlag(),
			&cli.IntFlag{Name: "keep-tag-revisions", Usage: "keep `N` revisions of each tag"},
			&cli.DurationFlag{Name: "keep-younger-than", Usage: "keep what is younger than `DURATION`"},
		),
		Action: prune,
	}
}

func prune(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	q := api.PruneRequest{DryRun: c.Bool("dry-run")}
	if c.IsSet("keep-tag-revisions") {
		n := c.Int("keep-tag-revisions")
		q.KeepTagRevisions = &n
	}
	if c.IsSet("keep-younger-than") {
		d := c.Duration("keep-younger-than")
		q.KeepYoungerThan = &d
	}
	r, err := client.Prune(c.Context, q)
	if err != nil {
		return err
	}
	return show(c, r, func(w io.Writer) {
		row(w, "REPOSITORY", "TAG", "DIGEST", "SIZE", "WHY")
		for _, items := range [][]meta.PrunedItem{r.Revisions, r.Manifests} {
			for _, i := range items {
				row(w, i.Repo, i.Tag, i.Digest, size(i.Size), i.Why)
			}
		}
		verb := "deleted"
		if r.DryRun {
			verb = "would delete"
		}
		row(w, fmt.Sprintf("%s %d tag revisions and %d manifests", verb, len(r.Revisions), len(r.Manifests)))
	})
}

func scrubCommand() *cli.Command {
	return &cli.Command{
		Name:      "scrub",
		Usage:     "read every blob and compare it with its digest",
		ArgsUsage: " ",
		Description: "Damaged blobs are moved to quarantine and are no longer served; push or restore them again.\n" +
			"Exits with 3 when anything is damaged or missing.",
		Flags: connectFlags(outputFlag(),
			&cli.StringFlag{
				Name: "rate", Usage: "read at most `BYTES` a second, as in 20MB (default: as fast as the disk allows)",
			},
		),
		Action: scrub,
	}
}

func scrub(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	var q api.ScrubRequest
	if rate := c.String("rate"); rate != "" {
		n, err := humanize.ParseBytes(rate)
		if err != nil {
			return usagef("rate %q: want a number of bytes, as in 20MB", rate)
		}
		q.BytesPerSecond = int64(n)
	}
	var b *progressbar.ProgressBar
	r, err := client.Scrub(c.Context, q, func(p api.ScrubReport) {
		if b == nil {
			b = bar(c.App.ErrWriter, "scrub", p.TotalBytes)
		}
		_ = b.Set64(p.Bytes)
	})
	if err != nil {
		return err
	}
	err = show(c, r, func(w io.Writer) {
		row(w, "Verified", fmt.Sprintf("%d blobs", r.Blobs), size(r.Bytes))
		row(w, "Orphans removed", r.Orphans)
		for _, d := range r.Missing {
			row(w, "Missing", d)
		}
		for _, d := range r.Damaged {
			row(w, "Damaged", d)
		}
	})
	if err == nil && len(r.Missing)+len(r.Damaged) > 0 {
		return errFound
	}
	return err
}

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "walk every invariant of the metadata, and look for each blob on the disk",
		ArgsUsage: " ",
		Description: "Works on a running registry, and on a data directory that none uses. Prints what is wrong and exits\n" +
			"with 3. It does not read the blobs: skerry scrub does.",
		Flags:  connectFlags(outputFlag()),
		Action: check,
	}
}

func check(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	began := time.Now()
	problems := []meta.Problem{}
	found := func(p meta.Problem) { problems = append(problems, p) }
	err = client.Check(c.Context, found)
	if errors.Is(err, errNotRunning) {
		data, dirErr := dataDir(c)
		if dirErr != nil {
			return dirErr
		}
		from, storageErr := storage(c)
		if storageErr != nil {
			return storageErr
		}
		err = appliance.Check(c.Context, data, from, newLogger(c.App.ErrWriter, "text", slog.LevelWarn), found)
	}
	if err != nil {
		return err
	}
	err = show(c, problems, func(w io.Writer) {
		for _, p := range problems {
			row(w, p.Invariant, p.Where, p.What)
		}
		row(w, fmt.Sprintf("%d problems found in %s", len(problems), time.Since(began).Round(time.Millisecond)))
	})
	if err == nil && len(problems) > 0 {
		return errFound
	}
	return err
}
