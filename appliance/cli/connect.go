package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

// errNotRunning is returned when nothing serves the data directory.
var errNotRunning = errors.New("no registry is running")

func dataFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "data", Value: appliance.Defaults().Data, EnvVars: env("DATA"), Usage: "`DIR` that holds everything",
	}
}

// connectFlags say which registry a command speaks to: the one that serves
// --data on this machine, or the one at --server.
func connectFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		dataFlag(),
		&cli.StringFlag{
			Name: "server", EnvVars: env("SERVER"),
			Usage: "`URL` of a registry elsewhere, instead of the one that serves --data",
		},
		&cli.StringFlag{
			Name: "ca", EnvVars: env("CA"), Usage: "`FILE` with the CA certificate of --server (default: the system's)",
		},
		&cli.StringFlag{
			Name: "username", Aliases: []string{"u"}, Value: "admin", EnvVars: env("USERNAME"), Usage: "`ACCOUNT` at --server",
		},
		&cli.StringFlag{
			Name: "password-file", EnvVars: env("PASSWORD_FILE"), Usage: "`FILE` with its password (default: $SKERRY_PASSWORD)",
		},
	}, more...)
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT`: table, json or yaml"}
}

func connect(c *cli.Context) (*api.Client, error) {
	if c.String("server") == "" {
		data, err := dataDir(c)
		if err != nil {
			return nil, err
		}
		return connectSocket(data), nil
	}
	password := os.Getenv("SKERRY_PASSWORD")
	file := c.String("login-password-file")
	if file == "" && !setsPassword(c) {
		file = c.String("password-file")
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read password: %w", err)
		}
		password = strings.TrimSpace(string(b))
	}
	var ca []byte
	if file := c.String("ca"); file != "" {
		var err error
		if ca, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read CA certificate: %w", err)
		}
	}
	transport, err := appliance.ClientTransport(ca)
	if err != nil {
		return nil, err
	}
	return &api.Client{
		HTTP: &http.Client{Transport: transport},
		Base: strings.TrimSuffix(c.String("server"), "/"),
		User: c.String("username"), Password: password,
	}, nil
}

// connectSocket speaks to the registry that serves a data directory.
func connectSocket(data string) *api.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", filepath.Join(data, appliance.SocketName))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w on %s: start it with skerry serve --data %s, or name another with --data or --server",
				errNotRunning, data, data)
		}
		return conn, err
	}
	return &api.Client{HTTP: &http.Client{Transport: &http.Transport{DialContext: dial}}, Base: "http://skerry"}
}
