package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "run the registry",
		ArgsUsage: " ",
		Description: "Serves a registry with everything it holds under --data. The first start makes the account admin\n" +
			"and writes its password to DATA/admin-password. SIGTERM lets running requests finish first.",
		Flags: append(serveFlags(),
			&cli.StringFlag{
				Name: "log-format", Value: "text", EnvVars: env("LOG_FORMAT"), Usage: "`FORMAT`: text or json",
			},
			&cli.StringFlag{
				Name: "log-level", Value: "info", EnvVars: env("LOG_LEVEL"), Usage: "`LEVEL`: debug, info, warn or error",
			},
		),
		Action: serve,
	}
}

func serveFlags() []cli.Flag {
	d := appliance.Defaults()
	return []cli.Flag{
		dataFlag(),
		&cli.StringFlag{
			Name: "listen", Value: d.Listen, EnvVars: env("LISTEN"),
			Usage: "`ADDRESS` of the public listener",
		},
		&cli.StringFlag{
			Name: "tls", Value: string(d.TLS), EnvVars: env("TLS"),
			Usage: "`MODE`: self (own CA) or off (plain HTTP)",
		},
		&cli.BoolFlag{
			Name: "plain-anywhere", EnvVars: env("PLAIN_ANYWHERE"),
			Usage: "allow --tls off on addresses that are not loopback",
		},
		&cli.StringSliceFlag{
			Name: "name", EnvVars: env("NAME"),
			Usage: "further host `NAME` or address that clients use (repeatable)",
		},
		&cli.StringFlag{Name: "node", EnvVars: env("NODE"), Usage: "`NAME` of this node (default: the host name)"},
		&cli.StringFlag{Name: "zone", EnvVars: env("ZONE"), Usage: "`ZONE` that this node stands in"},
		&cli.BoolFlag{Name: "read-only", EnvVars: env("READ_ONLY"), Usage: "refuse pushes and deletes"},
		&cli.DurationFlag{
			Name: "grace", Value: d.Grace, EnvVars: env("GRACE"),
			Usage: "`DURATION` for which deleted content can be undeleted",
		},
		&cli.DurationFlag{
			Name: "collect-every", Value: d.CollectEvery, EnvVars: env("COLLECT_EVERY"),
			Usage: "`DURATION` between garbage collections",
		},
		&cli.DurationFlag{
			Name: "scrub-period", Value: d.ScrubPeriod, EnvVars: env("SCRUB_PERIOD"),
			Usage: "`DURATION` in which every blob is verified once",
		},
		&cli.DurationFlag{
			Name: "upload-ttl", Value: d.UploadTTL, EnvVars: env("UPLOAD_TTL"),
			Usage: "`DURATION` for which an abandoned upload is kept",
		},
		&cli.IntFlag{
			Name: "disk-soft", Value: d.DiskSoft, EnvVars: env("DISK_SOFT"),
			Usage: "`PERCENT` of the disk in use from which the log warns",
		},
		&cli.IntFlag{
			Name: "disk-high", Value: d.DiskHigh, EnvVars: env("DISK_HIGH"),
			Usage: "`PERCENT` of the disk in use from which uploads are refused",
		},
		&cli.IntFlag{
			Name: "disk-critical", Value: d.DiskCritical, EnvVars: env("DISK_CRITICAL"),
			Usage: "`PERCENT` of the disk in use from which all writes but deletes are refused",
		},
		&cli.DurationFlag{
			Name: "drain-timeout", Value: d.DrainTimeout, EnvVars: env("DRAIN_TIMEOUT"),
			Usage: "`DURATION` that running requests get at a stop",
		},
		&cli.Uint64Flag{
			Name: "log-snapshot-entries", EnvVars: env("LOG_SNAPSHOT_ENTRIES"), Hidden: true,
			Usage: "cut the metadata log after `N` entries (default: 8192)",
		},
		&cli.Uint64Flag{
			Name: "log-trailing-entries", EnvVars: env("LOG_TRAILING_ENTRIES"), Hidden: true,
			Usage: "and keep `N` of them (default: 16384)",
		},
		&cli.DurationFlag{
			Name: "log-snapshot-every", EnvVars: env("LOG_SNAPSHOT_EVERY"), Hidden: true,
			Usage: "`DURATION` between looks at the length of the metadata log (default: 2m)",
		},
		&cli.IntFlag{
			Name: "log-segment-bytes", EnvVars: env("LOG_SEGMENT_BYTES"),
			Usage: "disk space, in `BYTES`, that the metadata log takes at a time (default: 64 MiB, less on a small disk)",
		},
	}
}

func serve(c *cli.Context) error {
	defer holdFloor()()
	log, err := newLogger(c.App.ErrWriter, c.String("log-format"), c.String("log-level"))
	if err != nil {
		return err
	}
	if _, err := wantArgs(c); err != nil {
		return err
	}
	a, err := appliance.Open(c.Context, appliance.Config{
		Data:            c.String("data"),
		Listen:          c.String("listen"),
		TLS:             appliance.TLSMode(c.String("tls")),
		PlainAnywhere:   c.Bool("plain-anywhere"),
		Names:           c.StringSlice("name"),
		Node:            c.String("node"),
		Zone:            c.String("zone"),
		ReadOnly:        c.Bool("read-only"),
		Grace:           c.Duration("grace"),
		CollectEvery:    c.Duration("collect-every"),
		ScrubPeriod:     c.Duration("scrub-period"),
		UploadTTL:       c.Duration("upload-ttl"),
		DiskSoft:        c.Int("disk-soft"),
		DiskHigh:        c.Int("disk-high"),
		DiskCritical:    c.Int("disk-critical"),
		DrainTimeout:    c.Duration("drain-timeout"),
		LogSegmentBytes: c.Int("log-segment-bytes"),

		LogSnapshotEntries: c.Uint64("log-snapshot-entries"),
		LogTrailingEntries: c.Uint64("log-trailing-entries"),
		LogSnapshotEvery:   c.Duration("log-snapshot-every"),
	}, log)
	if err != nil {
		return err
	}
	greet(c.App.ErrWriter, a, c.String("data"))
	log.InfoContext(c.Context, "serving", "addr", a.Addr().String(), "tls", a.CA() != nil)
	err = a.Run(c.Context)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, a.Close())
}

// greet tells a person who just started the registry what to do with it.
func greet(w io.Writer, a *appliance.Appliance, data string) {
	host := clientHost(a.Addr())
	scheme, trust := "https", " --cert-dir "+filepath.Join(data, "trust")
	if a.CA() == nil {
		scheme, trust = "http", " --tls-verify=false"
	}
	_, _ = fmt.Fprintf(w, `Skerry %s serves %s://%s

  log in   podman login%s -u admin --password-stdin %s < %s
  push     podman push%s IMAGE %s/NAMESPACE/NAME:TAG
  pull     podman pull%s %s/NAMESPACE/NAME:TAG
  look     skerry status --data %s

`, appliance.Version(), scheme, host, trust, host, filepath.Join(data, "admin-password"),
		trust, host, trust, host, data)
}

// clientHost is what a client on this machine calls addr.
func clientHost(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsUnspecified() || tcp.IP.IsLoopback() {
		_, port, _ := net.SplitHostPort(addr.String())
		return net.JoinHostPort("localhost", port)
	}
	return addr.String()
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("log level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, usagef("log format %q: want text or json", format)
}

// env names the variable that means the same as a flag.
func env(name string) []string { return []string{"SKERRY_" + name} }
