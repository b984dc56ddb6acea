package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "tell how the registry is doing",
		ArgsUsage: " ",
		Flags:     connectFlags(outputFlag()),
		Action:    status,
	}
}

func status(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	s, err := client.Status(c.Context)
	if err != nil {
		return err
	}
	return show(c, s, func(w io.Writer) {
		row(w, "Node", s.Node)
		if s.Zone != "" {
			row(w, "Zone", s.Zone)
		}
		row(w, "Version", s.Version)
		row(w, "Started", age(s.Started))
		row(w, "Reads", yes(s.ReadReady))
		row(w, "Writes", yes(s.WriteReady), s.WriteError)
		row(w, "Disk", size(s.Disk.Free)+" free of "+size(s.Disk.Total), "pressure "+s.Disk.Pressure)
		row(w, "TLS", s.TLS.Mode, s.TLS.Error)
		for _, c := range s.TLS.Certificates {
			row(w, "Certificate", strings.Join(c.Names, " "), c.From, until(c.NotAfter), c.Error)
		}
		if s.Disk.Ephemeral != "" {
			row(w, "", "on "+s.Disk.Ephemeral+": everything is lost with the machine's memory or the container")
		}
		if s.Storage.Kind != string(appliance.StorageLocal) {
			row(w, "Blobs in", s.Storage.Location, s.Storage.Error)
		}
		clusterRows(w, s.Cluster)
		row(w, "Repositories", s.Contents.Repositories)
		row(w, "Tags", s.Contents.Tags)
		row(w, "Manifests", s.Contents.Manifests)
		row(w, "Blobs", s.Contents.Blobs, size(s.Contents.BlobBytes))
		row(w, "Metadata", size(s.Contents.DatabaseBytes))
		for _, d := range s.Quarantined {
			row(w, "Quarantined", d)
		}
		row(w)
		row(w, "CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE")
		for _, c := range s.Conditions {
			first, rest, more := strings.Cut(c.Message, "\n")
			row(w, c.Type, c.Status, age(c.Since), c.Reason, first)
			for line := ""; more; {
				line, rest, more = strings.Cut(rest, "\n")
				row(w, "", "", "", "", line)
			}
		}
	})
}

// clusterRows tells of the other nodes, where there are any.
func clusterRows(w io.Writer, c *api.ClusterStatus) {
	if c == nil {
		return
	}
	leader := "no leader: nothing can be changed"
	if c.Leader != "" {
		leader = "leader " + c.Leader
	}
	row(w, "Cluster", fmt.Sprintf("%d of %d nodes answer", c.Nodes-len(c.Away), c.Nodes), leader)
	if len(c.Away) > 0 {
		row(w, "Away", strings.Join(c.Away, " "))
	}
	if c.CopiesMissing > 0 {
		row(w, "Copies", fmt.Sprintf("%d blobs have too few", c.CopiesMissing))
	}
	if c.Lost > 0 {
		row(w, "Lost", fmt.Sprintf("%d blobs are on no node: push them again, or restore a backup", c.Lost))
	}
}

// until says how long a certificate is good.
func until(t *time.Time) string {
	if t == nil {
		return "none yet"
	}
	return "until " + t.Format(time.DateOnly)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "tell which build this is",
		ArgsUsage: " ",
		Flags:     []cli.Flag{outputFlag()},
		Action: func(c *cli.Context) error {
			v := map[string]string{
				"version": appliance.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
			}
			return show(c, v, func(w io.Writer) {
				row(w, "skerry", v["version"], v["platform"], v["go"])
			})
		},
	}
}
