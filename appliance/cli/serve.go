package cli

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

// startTail is what goes on after a registry serves, and belongs to its start.
const startTail = time.Second

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "run the registry",
		ArgsUsage: " ",
		Description: "Serves a registry with everything it holds under --data. The first start makes the account admin\n" +
			"and writes its password to DATA/admin-password. Each flag is also a key of skerry.yaml (--config) and a\n" +
			"variable; a flag beats a variable, a variable the file. SIGHUP reads them again. SIGTERM lets running\n" +
			"requests finish first, a second one does not. Without --storage the Config object (skerry get\n" +
			"config.imageregistry) says where blobs are kept.",
		Flags:  serveFlags(),
		Action: serve,
	}
}

func serve(c *cli.Context) (err error) {
	if _, err := wantArgs(c); err != nil {
		return err
	}
	defer holdFloor()()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	p, err := newProcess(c, hangup)
	if err != nil {
		return err
	}
	defer p.supervisor.close()
	if p.appliance, err = appliance.Open(c.Context, p.conf.values.Config, p.log); err != nil {
		return err
	}
	if !toJournal(c.App.ErrWriter) {
		greet(c.App.ErrWriter, p.appliance, p.conf.values.Data)
	}
	p.log.InfoContext(c.Context, "serving", "addr", p.appliance.Addr().String(), "tls", p.appliance.TLS())
	started := time.AfterFunc(startTail, returnProgramPages)
	defer started.Stop()
	return p.live(c.Context)
}

// newProcess reads the configuration, from the same file again at each reload.
func newProcess(c *cli.Context, hangup <-chan os.Signal) (*process, error) {
	conf, err := load(c)
	if err != nil {
		return nil, err
	}
	p := &process{hangup: hangup, conf: conf}
	p.level.machine.Set(conf.level())
	p.log = newLogger(c.App.ErrWriter, conf.values.LogFormat, &p.level)
	conf.logWarnings(c.Context, p.log)
	p.load = func() (*configuration, error) { return load(c) }
	if conf.file != "" { // a file that was there and is gone is a mistake, not a wish for the defaults
		p.load = func() (*configuration, error) { return loadFile(c, conf.file, true, given(c)) }
	}
	conf.values.Reread, conf.values.Verbosity = p.reload, p.level.asked.Store
	p.supervisor, err = newSupervisor()
	return p, err
}

// greet tells a person who just started the registry what to do with it.
func greet(w io.Writer, a *appliance.Appliance, data string) {
	host := clientHost(a.Addr())
	scheme, trust := "https", ""
	switch {
	case !a.TLS():
		scheme, trust = "http", " --tls-verify=false"
	case a.CA() != nil:
		trust = " --cert-dir " + filepath.Join(data, "trust")
	}
	password := filepath.Join(data, "admin-password")
	if _, err := os.Stat(password); err != nil { // it joined others: the account is the cluster's
		password = "PASSWORD-FILE"
	}
	_, _ = fmt.Fprintf(w, `Skerry %s serves %s://%s

  log in   podman login%s -u admin --password-stdin %s < %s
  push     podman push%s IMAGE %s/NAMESPACE/NAME:TAG
  pull     podman pull%s %s/NAMESPACE/NAME:TAG
  look     skerry status --data %s
%s
`, appliance.Version(), scheme, host, trust, host, password,
		trust, host, trust, host, data, trustLine(a, host))
}

// trustLine tells how other machines come to trust this one.
func trustLine(a *appliance.Appliance, host string) string {
	fingerprint, err := appliance.Fingerprint(a.CA())
	if err != nil { // there is no own CA
		return ""
	}
	return fmt.Sprintf("  trust    skerry trust --server https://%s --fingerprint %s\n", host, fingerprint)
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
