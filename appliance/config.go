package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"skerry.dev/skerry/appliance/api"
)

// Config says everything about one node. Zero fields mean their default.
type Config struct {
	// Data is the directory that holds everything; it is created when absent.
	// Default "data" in the working directory.
	Data string
	// Listen is the address of the public listener, host:port. Default ":5000".
	Listen string
	// TLS is the mode of the public listener. Default [TLSSelf].
	TLS TLSMode
	// PlainAnywhere allows [TLSOff] on an address that is not loopback:
	// passwords then cross the network readable.
	PlainAnywhere bool
	// Names are further host names and addresses that clients use for this
	// node; the certificate carries them beside the ones found by itself.
	Names []string
	// TLSCert and TLSKey are the PEM files of [TLSFiles].
	TLSCert, TLSKey string
	// ACMEDirectory is the URL of the ACME server of [TLSACME], which is asked for
	// a certificate for each host name in Names. Default Let's Encrypt.
	ACMEDirectory string
	// ACMEEmail is where that server's operators may write to. Optional.
	ACMEEmail string
	// ACMECA is a PEM file with the CA of the ACME server itself. Default the
	// system's CAs.
	ACMECA string
	// ACMEHTTP is an address, host:port, to answer HTTP-01 challenges on, which
	// the server must reach at port 80 of the names. Without it TLS-ALPN-01 is
	// used, for which it must reach Listen at port 443.
	ACMEHTTP string
	// ClientCA is a PEM file with CAs whose certificates clients may show.
	ClientCA string

	// MetricsListen is a further address, host:port, where metrics and probes are
	// served over plain HTTP to whoever asks. Empty means none: metrics are then
	// served on Listen alone, to administrators.
	MetricsListen string
	// MetricsAnywhere allows a MetricsListen that is not loopback.
	MetricsAnywhere bool

	// Node and Zone are what this node is called, in status and to the others, and
	// where it stands. Node defaults to the host name.
	Node, Zone string
	// Advertise is how other nodes reach this one, host:port: a name, resolved at each
	// dial. Default the address of PeerListen or Listen, by the host name where that
	// is all addresses.
	Advertise string
	// PeerListen is a further address for other nodes alone, host:port. Default none:
	// they come by Listen, which needs TLS there.
	PeerListen string
	// Join is the address of a node, host:port or https URL, whose cluster a new data
	// directory is to become a member of, with Token from "skerry cluster token
	// create". A member does not look at them any more.
	Join, Token string
	// Witness has this node vote, and keep no blobs. Only for one that joins.
	Witness bool
	// RepairAfter is how long a node may be away before its copies are made
	// elsewhere. Default 15 min.
	RepairAfter time.Duration

	// AuditLog is the file that gets a JSON line for each push, delete, refused
	// login and act of an administrator. Default: the ordinary log gets them.
	AuditLog string
	// OIDC is the issuer whose tokens are accepted. Default none.
	OIDC OIDC

	// ReadOnly refuses pushes and deletes; pulls and maintenance go on.
	ReadOnly bool
	// Grace is how long deleted and unreferenced content is kept. Default 24 h.
	Grace time.Duration
	// CollectEvery is the pause between garbage collections. Default 24 h.
	CollectEvery time.Duration
	// CollectFirst is the pause before the first one after a start: a node that is
	// switched off every night collects, too. Default 10 min, at most CollectEvery.
	CollectFirst time.Duration
	// ScrubPeriod is how long one pass over all blobs may take. Default 30 days.
	ScrubPeriod time.Duration
	// UploadTTL is how long an upload that nobody continues is kept. Default 48 h.
	UploadTTL time.Duration
	// OrphanAge is how old a blob that the metadata does not know must be before
	// a scrub takes it for debris: a push makes the file first and tells then.
	// Default 1 h.
	OrphanAge time.Duration
	// DiskSoft, DiskHigh and DiskCritical are how full the disk may be, in percent: above
	// the first the log warns, above the second uploads are refused, above the third every
	// write but deletes is. Defaults 80, 90 and 95.
	DiskSoft, DiskHigh, DiskCritical int
	// Storage says where blobs are kept. Default: where spec.storage of the Config
	// object says, which is Data where that says nothing.
	Storage Storage

	// DrainTimeout is how long running requests may take after a request to
	// stop. Default 30 s.
	DrainTimeout time.Duration
	// LogSnapshotEntries is after how many entries the metadata log is cut,
	// LogTrailingEntries how many stay then, for nodes that lag; LogSnapshotEvery
	// is how often that is looked at. Defaults 8192, 16384 and 2 minutes.
	LogSnapshotEntries, LogTrailingEntries uint64
	LogSnapshotEvery                       time.Duration
	// LogSegmentBytes is the size in which the metadata log takes disk space.
	// Default 64 MiB, less on a small disk.
	LogSegmentBytes int

	// Verbosity is told the level that the Config object asks for, nil where it
	// leaves that to the machine's configuration. Nil where nobody listens. It is
	// called by Open and by one goroutine at a time.
	Verbosity func(level *slog.Level)

	// from is what an appliance leaves to the one that goes on for it; nil at a start.
	from *legacy

	// Reread reads the configuration again and calls Reload with it, for the
	// control API. Nil where there is nothing to read.
	Reread func(ctx context.Context) (api.ReloadReport, error)
}

// OIDC names an issuer of tokens. The fields mean what the flags --oidc-… of
// kube-apiserver mean.
type OIDC struct {
	// Issuer is its URL, https, as its tokens name it.
	Issuer string
	// Audience is the client id that its tokens for this registry carry.
	Audience string
	// UsernameClaim and GroupsClaim are the claims that name user and groups.
	// Defaults "sub" and none.
	UsernameClaim, GroupsClaim string
	// UsernamePrefix and GroupsPrefix keep the issuer's names apart from others.
	// Defaults "ISSUER#", unless the claim is email, and none; "-" means none.
	UsernamePrefix, GroupsPrefix string
	// CAFile has the certificate authority of the issuer's address, in PEM.
	// Default: those of the system.
	CAFile string
}

// Defaults is what a Config means where it says nothing.
func Defaults() Config {
	return Config{
		Data:         "data",
		Listen:       ":5000",
		TLS:          TLSSelf,
		RepairAfter:  15 * time.Minute,
		Grace:        24 * time.Hour,
		CollectEvery: 24 * time.Hour,
		CollectFirst: 10 * time.Minute,
		ScrubPeriod:  30 * 24 * time.Hour,
		UploadTTL:    48 * time.Hour,
		OrphanAge:    time.Hour,
		DiskSoft:     80,
		DiskHigh:     90,
		DiskCritical: 95,
		DrainTimeout: 30 * time.Second,
		Storage:      Storage{Kind: StorageLocal},
	}
}

// withDefaults returns c with every default filled in, if it is valid then.
func (c Config) withDefaults() (Config, error) {
	d := Defaults()
	c.Data = cmp.Or(c.Data, d.Data)
	c.Listen = cmp.Or(c.Listen, d.Listen)
	c.TLS = cmp.Or(c.TLS, d.TLS)
	c.Grace = cmp.Or(c.Grace, d.Grace)
	c.CollectEvery = cmp.Or(c.CollectEvery, d.CollectEvery)
	c.CollectFirst = min(cmp.Or(c.CollectFirst, d.CollectFirst), c.CollectEvery)
	c.ScrubPeriod = cmp.Or(c.ScrubPeriod, d.ScrubPeriod)
	c.UploadTTL = cmp.Or(c.UploadTTL, d.UploadTTL)
	c.OrphanAge = cmp.Or(c.OrphanAge, d.OrphanAge)
	c.DiskSoft = cmp.Or(c.DiskSoft, d.DiskSoft)
	c.DiskHigh = cmp.Or(c.DiskHigh, d.DiskHigh)
	c.DiskCritical = cmp.Or(c.DiskCritical, d.DiskCritical)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, d.DrainTimeout)
	c.Storage.Kind = cmp.Or(c.Storage.Kind, d.Storage.Kind)
	if c.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("find the host name (give --node instead): %w", err)
		}
		c.Node = name
	}
	var errs []error
	for _, x := range c.Conflicts() {
		errs = append(errs, x)
	}
	return c, errors.Join(errs...)
}

// A Conflict is a value that cannot be, or several that cannot be together.
type Conflict struct {
	Keys []string // of the settings concerned, the one to look at first in front
	Text string
}

// Error names the keys and says what is wrong.
func (c Conflict) Error() string { return strings.Join(c.Keys, ", ") + ": " + c.Text }

// Conflicts is everything that is wrong with c, whose defaults are filled in.
func (c Config) Conflicts() []Conflict {
	var found []Conflict
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		found = append(found, Conflict{[]string{"listen"}, fmt.Sprintf("%q: want host:port or :port", c.Listen)})
	}
	if err == nil {
		found = append(found, c.tlsConflicts(host)...)
	}
	if c.DiskSoft > c.DiskHigh || c.DiskHigh > c.DiskCritical {
		found = append(found, Conflict{[]string{"disk-high", "disk-soft", "disk-critical"}, fmt.Sprintf(
			"soft %d, high %d and critical %d percent: none may be above the next", c.DiskSoft, c.DiskHigh, c.DiskCritical)})
	}
	if _, err := c.OIDC.open(nil); err != nil {
		found = append(found, Conflict{[]string{"oidc-issuer", "oidc-audience", "oidc-ca"}, err.Error()})
	}
	return slices.Concat(found, c.exposed(), c.Storage.Conflicts(), c.negative())
}

// exposed is what is wrong with the address for scrapers.
func (c Config) exposed() []Conflict {
	if c.MetricsListen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.MetricsListen)
	if err != nil {
		return []Conflict{{[]string{"metrics-listen"}, fmt.Sprintf("%q: want host:port", c.MetricsListen)}}
	}
	if loopback(host) || c.MetricsAnywhere {
		return nil
	}
	return []Conflict{{[]string{"metrics-listen"}, fmt.Sprintf(
		"metrics on %s would be readable by the whole network: listen on 127.0.0.1, scrape /metrics of the public "+
			"address with a password, or insist with metrics-anywhere", c.MetricsListen)}}
}

func (c Config) negative() (found []Conflict) {
	for _, p := range []struct {
		key  string
		time time.Duration
	}{
		{"grace", c.Grace},
		{"collect-every", c.CollectEvery},
		{"scrub-period", c.ScrubPeriod},
		{"upload-ttl", c.UploadTTL},
		{"drain-timeout", c.DrainTimeout},
	} {
		if p.time < 0 {
			found = append(found, Conflict{[]string{p.key}, fmt.Sprintf("%s: must not be negative", p.time)})
		}
	}
	return found
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
