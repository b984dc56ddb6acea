package cli

import (
	"slices"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/setting"
)

// values is everything that the process can be told about its machine.
type values struct {
	appliance.Config
	LogFormat, LogLevel string
}

func defaultValues() values {
	return values{Config: appliance.Defaults(), LogFormat: "text", LogLevel: "info"}
}

// settings is the one table of what can be set, over v, which holds the
// defaults. Flags, variables, the file, reloads and the documentation follow it.
func settings(v *values) setting.Table {
	return slices.Concat(
		nodeSettings(&v.Config),
		clusterSettings(&v.Config),
		tlsSettings(&v.Config),
		metricsSettings(&v.Config),
		accessSettings(&v.Config),
		contentSettings(&v.Config),
		storageSettings(&v.Storage),
		logSettings(v),
		raftSettings(&v.Config),
	)
}

// nodeSettings are who the node is, and where it answers.
func nodeSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "data", Value: setting.Text(&c.Data),
			Meaning: "`DIR` that holds everything",
		},
		{
			Key: "listen", Value: setting.Text(&c.Listen),
			Meaning: "`ADDRESS` of the public listener",
		},
		{
			Key: "name", Value: setting.List(&c.Names),
			Meaning: "further host `NAME` or address that clients use (repeatable)",
		},
		{
			Key: "node", Value: setting.Text(&c.Node), Default: "the host name",
			Meaning: "`NAME` of this node",
		},
		{
			Key: "zone", Value: setting.Text(&c.Zone),
			Meaning: "`ZONE` that this node stands in",
		},
	}
}

// clusterSettings are how a node finds the others, and is found.
func clusterSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "join", Value: setting.Text(&c.Join),
			Meaning: "`ADDRESS` of a node whose cluster a new data directory becomes a member of",
		},
		{
			Key: "token", Value: setting.Text(&c.Token), Secret: true,
			Meaning: "`TOKEN` to join with, from skerry cluster token create",
		},
		{
			Key: "advertise", Value: setting.Text(&c.Advertise), Default: "the host name, and the port of listen",
			Meaning: "`ADDRESS` by which other nodes reach this one",
		},
		{
			Key: "peer-listen", Value: setting.Text(&c.PeerListen),
			Meaning: "further `ADDRESS` for other nodes alone, as for firewalls",
		},
		{
			Key: "witness", Value: setting.OnOff(&c.Witness),
			Meaning: "vote in the cluster, and keep no blobs",
		},
		{
			Key: "repair-after", Value: setting.Period(&c.RepairAfter),
			Meaning: "`DURATION` that a node may be away before its copies are made elsewhere",
		},
	}
}

// tlsSettings say which certificates clients are shown, and are to show.
func tlsSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key:     "tls",
			Value:   setting.Choice(&c.TLS, appliance.TLSSelf, appliance.TLSACME, appliance.TLSFiles, appliance.TLSOff),
			Meaning: "`MODE`: self (own CA), acme (Let's Encrypt and the like), files, or off (plain HTTP)",
		},
		{
			Key: "plain-anywhere", Value: setting.OnOff(&c.PlainAnywhere),
			Meaning: "allow tls off on addresses that are not loopback",
		},
		{
			Key: "tls-cert", Value: setting.Text(&c.TLSCert),
			Meaning: "`FILE` with the certificate of tls files, and its chain; read again when it changes",
		},
		{
			Key: "tls-key", Value: setting.Text(&c.TLSKey),
			Meaning: "`FILE` with its key",
		},
		{
			Key: "acme-directory", Value: setting.Text(&c.ACMEDirectory), Default: "Let's Encrypt",
			Meaning: "`URL` of the directory of tls acme, whose terms you agree to",
		},
		{
			Key: "acme-email", Value: setting.Text(&c.ACMEEmail),
			Meaning: "`ADDRESS` for its operators to write to",
		},
		{
			Key: "acme-ca", Value: setting.Text(&c.ACMECA), Default: "the system's",
			Meaning: "`FILE` with the CA of the ACME server itself",
		},
		{
			Key: "acme-http", Value: setting.Text(&c.ACMEHTTP), Default: "TLS-ALPN-01 on listen, reached at port 443",
			Meaning: "`ADDRESS` to answer HTTP-01 on, reached at port 80 of the names",
		},
		{
			Key: "client-ca", Value: setting.Text(&c.ClientCA),
			Meaning: "`FILE` with CAs whose certificates clients may show; read again when it changes",
		},
	}
}

// metricsSettings are where scrapers need no password.
func metricsSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "metrics-listen", Value: setting.Text(&c.MetricsListen),
			Meaning: "further `ADDRESS` that serves /metrics and probes without a password, over plain HTTP",
		},
		{
			Key: "metrics-anywhere", Value: setting.OnOff(&c.MetricsAnywhere),
			Meaning: "allow metrics-listen on addresses that are not loopback",
		},
	}
}

// accessSettings are who may come in, beside those whom the registry knows itself,
// and what is recorded of it. Those with oidc are kube-apiserver's.
func accessSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "audit-log", Value: setting.Text(&c.AuditLog), Default: "the ordinary log",
			Meaning: "`FILE` for a JSON line for each push, delete, refused login and act of an administrator; " +
				"a reload opens it anew",
		},
		{
			Key: "oidc-issuer", Value: setting.Text(&c.OIDC.Issuer),
			Meaning: "accept tokens of the issuer at this `URL`",
		},
		{
			Key: "oidc-audience", Value: setting.Text(&c.OIDC.Audience),
			Meaning: "the client `ID` that its tokens must be for",
		},
		{
			Key: "oidc-username-claim", Value: setting.Text(&c.OIDC.UsernameClaim), Default: "sub",
			Meaning: "`CLAIM` that names the user",
		},
		{
			Key: "oidc-username-prefix", Value: setting.Text(&c.OIDC.UsernamePrefix),
			Default: "the issuer and #, but none for the claim email",
			Meaning: "`PREFIX` of the user's name here; - for none",
		},
		{
			Key: "oidc-groups-claim", Value: setting.Text(&c.OIDC.GroupsClaim),
			Meaning: "`CLAIM` that lists the user's groups",
		},
		{
			Key: "oidc-groups-prefix", Value: setting.Text(&c.OIDC.GroupsPrefix),
			Meaning: "`PREFIX` of their names here",
		},
		{
			Key: "oidc-ca", Value: setting.Text(&c.OIDC.CAFile), Default: "the system's",
			Meaning: "`FILE` with the CA of the issuer's address",
		},
	}
}

// contentSettings are what happens to what the node holds.
func contentSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "read-only", Value: setting.OnOff(&c.ReadOnly), Live: true,
			Meaning: "refuse pushes and deletes",
		},
		{
			Key: "grace", Value: setting.Period(&c.Grace), Live: true,
			Meaning: "`DURATION` for which deleted content can be undeleted",
		},
		{
			Key: "collect-every", Value: setting.Period(&c.CollectEvery), Live: true,
			Meaning: "`DURATION` between garbage collections",
		},
		{
			Key: "scrub-period", Value: setting.Period(&c.ScrubPeriod), Live: true,
			Meaning: "`DURATION` in which every blob is verified once",
		},
		{
			Key: "upload-ttl", Value: setting.Period(&c.UploadTTL), Live: true,
			Meaning: "`DURATION` for which an abandoned upload is kept",
		},
		{
			Key: "disk-soft", Value: setting.Percent(&c.DiskSoft),
			Meaning: "`PERCENT` of the disk in use from which the log warns",
		},
		{
			Key: "disk-high", Value: setting.Percent(&c.DiskHigh),
			Meaning: "`PERCENT` of the disk in use from which uploads are refused",
		},
		{
			Key: "disk-critical", Value: setting.Percent(&c.DiskCritical),
			Meaning: "`PERCENT` of the disk in use from which all writes but deletes are refused",
		},
		{
			Key: "drain-timeout", Value: setting.Period(&c.DrainTimeout), Live: true,
			Meaning: "`DURATION` that running requests get at a stop",
		},
	}
}

// logSettings are what the process says about itself.
func logSettings(v *values) setting.Table {
	return setting.Table{
		{
			Key: "log-format", Value: setting.Choice(&v.LogFormat, "text", "json"),
			Meaning: "`FORMAT`: text or json",
		},
		{
			Key: "log-level", Value: setting.Choice(&v.LogLevel, "debug", "info", "warn", "error"), Live: true,
			Meaning: "`LEVEL`: debug, info, warn or error",
		},
	}
}

// raftSettings are about the metadata log; few need them.
func raftSettings(c *appliance.Config) setting.Table {
	return setting.Table{
		{
			Key: "log-snapshot-entries", Value: setting.Number(&c.LogSnapshotEntries), Default: "8192", Rare: true,
			Meaning: "cut the metadata log after `N` entries",
		},
		{
			Key: "log-trailing-entries", Value: setting.Number(&c.LogTrailingEntries), Default: "16384", Rare: true,
			Meaning: "and keep `N` of them",
		},
		{
			Key: "log-snapshot-every", Value: setting.Period(&c.LogSnapshotEvery), Default: "2m", Rare: true,
			Meaning: "`DURATION` between looks at the length of the metadata log",
		},
		{
			Key: "log-segment-bytes", Value: setting.Number(&c.LogSegmentBytes), Default: "64 MiB, less on a small disk",
			Meaning: "disk space, in `BYTES`, that the metadata log takes at a time",
		},
	}
}

// serveFlags are the flags of everything that can be set, and of the file that
// can say the same. They have no default and no variable of their own: that is
// the table's business, which must know where a value came from.
func serveFlags() []cli.Flag {
	v := defaultValues()
	flags := []cli.Flag{configFlag()}
	for _, s := range settings(&v) {
		usage := s.Meaning
		if def := s.Shown(); def != "" && s.Value.Shape() != setting.Switch {
			usage += " (default: " + def + ")"
		}
		usage += " [$" + s.Variable() + "]"
		switch s.Value.Shape() {
		case setting.Switch:
			flags = append(flags, &cli.BoolFlag{Name: s.Key, Usage: usage, Hidden: s.Rare, DisableDefaultText: true})
		case setting.Many:
			flags = append(flags, &cli.StringSliceFlag{Name: s.Key, Usage: usage, Hidden: s.Rare})
		default:
			flags = append(flags, &cli.StringFlag{Name: s.Key, Usage: usage, Hidden: s.Rare})
		}
	}
	return flags
}

// given returns the words of a setting's flag, if it was used.
func given(c *cli.Context) func(key string) ([]string, bool) {
	return func(key string) ([]string, bool) {
		if !c.IsSet(key) {
			return nil, false
		}
		switch v := c.Value(key).(type) {
		case bool:
			if v {
				return []string{"true"}, true
			}
			return []string{"false"}, true
		case cli.StringSlice:
			return v.Value(), true
		}
		return []string{c.String(key)}, true
	}
}

// otherVariables are those that commands read beside the settings.
func otherVariables(commands []*cli.Command) []string {
	names := []string{"SKERRY_PASSWORD"}
	for _, c := range commands {
		for _, f := range c.Flags {
			if f, ok := f.(cli.DocGenerationFlag); ok {
				names = append(names, f.GetEnvVars()...)
			}
		}
		names = append(names, otherVariables(c.Subcommands)...)
	}
	return names
}

// env names the variable that means the same as a flag.
func env(name string) []string { return []string{"SKERRY_" + name} }
