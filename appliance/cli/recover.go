package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

func clusterRecoverCommand() *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "go on with this node alone after most of the others were lost for good", ArgsUsage: " ",
		Description: "For a stopped node, when a majority of the nodes will never come back. Without --yes it only says\n" +
			"what this node has, and what would be lost: compare the nodes that are left, and go on with the one whose\n" +
			"log ends with the highest term, and of these with the highest index.",
		Flags: []cli.Flag{
			dataFlag(),
			&cli.BoolFlag{Name: "yes", Usage: "do it: what only other nodes had is lost"},
		},
		Action: clusterRecover,
	}
}

// errNotYet ends a recovery that was not asked for with --yes.
var errNotYet = errors.New("not asked for")

func clusterRecover(c *cli.Context) error {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	data, err := dataDir(c)
	if err != nil {
		return err
	}
	log := newLogger(c.App.ErrWriter, "text", slog.LevelError)
	err = appliance.Recover(c.Context, data, log, func(r appliance.Remainder) error {
		if err := explainRemainder(c.App.Writer, r); err != nil {
			return err
		}
		if !c.Bool("yes") {
			return errNotYet
		}
		return nil
	})
	if errors.Is(err, errNotYet) {
		_, err = fmt.Fprintf(c.App.Writer, "\nNothing was changed. To do it:\n\n"+
			"  skerry cluster recover --data %s --yes\n", data)
		return err
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, `
Done: this node is a registry of its own now. Start it as before. On every other node, before it is started again:

  rm -r DATA
  skerry serve --data DATA --join ADDRESS --token TOKEN

with a token for each from this node: skerry cluster token create
`)
	return err
}

// explainRemainder says in words what there is, and what would be lost.
func explainRemainder(w io.Writer, r appliance.Remainder) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s has the log of the metadata up to term %d, index %d", r.Name, r.LastTerm, r.LastIndex)
	if !r.LastTime.IsZero() {
		fmt.Fprintf(&b, ", written %s", r.LastTime.UTC().Format(time.RFC3339))
	}
	b.WriteString(".\n\nThese nodes would be out for good, and must never be started with their data directories " +
		"again:\n\n")
	for _, n := range r.Others {
		fmt.Fprintf(&b, "  %s  %s  %s\n", n.Name, n.Address, n.Server)
	}
	b.WriteString("\nWhat would be lost:\n\n" +
		"  - pushes, deletes and changes of accounts that the other nodes acknowledged and this one never got:\n" +
		"    what came after the time above\n")
	if r.LostBlobs > 0 {
		fmt.Fprintf(&b, "  - %d of %d blobs (%s), of which only other nodes had a copy: push these images again\n",
			r.LostBlobs, r.Blobs, size(r.LostBytes))
	}
	if r.Unconfirmed > 0 {
		fmt.Fprintf(&b, "\nUp to %d entries at the end of the log may never have been acknowledged to anybody. "+
			"They would hold now.\n", r.Unconfirmed)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
