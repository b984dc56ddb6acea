package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/setting"
)

const (
	// configDefault is read when it exists and no other file is named.
	configDefault = "/etc/skerry/skerry.yaml"
	// configBytesMax is far more than every key with its comment.
	configBytesMax = 1 << 20
)

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "config", EnvVars: env("CONFIG"),
		Usage: "`FILE` with the same keys (default: " + configDefault + " when it exists)",
	}
}

// A configuration is what flags, variables and a file come to.
type configuration struct {
	values   values
	table    setting.Table // over values
	file     string        // that was read; "" when there is none
	resolved setting.Resolved
}

// load reads the configuration for a command with [serveFlags]. An error is
// [setting.Mistakes] where the operator made them.
func load(c *cli.Context) (*configuration, error) {
	name, must := c.String("config"), true
	if name == "" {
		name, must = configDefault, false
	}
	return loadFile(c, name, must, given(c))
}

// loadFile is load with a file, which must be there or may be. The
// configuration comes with an error too, as far as it could be read.
func loadFile(
	c *cli.Context, name string, must bool, flags func(string) ([]string, bool),
) (*configuration, error) {
	conf := &configuration{values: defaultValues()}
	conf.table = settings(&conf.values)
	content, err := readConfig(name)
	switch {
	case err == nil:
		conf.file = name
	case must || !errors.Is(err, fs.ErrNotExist):
		return conf, fmt.Errorf("read configuration: %w", err)
	}
	conf.resolved, err = conf.table.Resolve(setting.Sources{
		Name: name, Content: content, Flags: flags,
		Environ: os.Environ(), Others: otherVariables(c.App.Commands),
	})
	return conf, conf.conflicts(err)
}

// readConfig returns the file's content, which is never nil without an error.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, configBytesMax+1))
	if err == nil && len(b) > configBytesMax {
		err = fmt.Errorf("%s is over %d bytes: that is no configuration", name, configBytesMax)
	}
	return b, err
}

// conflicts adds to the mistakes in err those of values that do not go
// together, unless one of them is mistaken by itself.
func (conf *configuration) conflicts(err error) error {
	var found setting.Mistakes
	if err != nil && !errors.As(err, &found) {
		return err
	}
	before := found
	for _, x := range conf.values.Conflicts() {
		mistaken := false
		for _, k := range x.Keys {
			mistaken = mistaken || before.About(k)
		}
		if !mistaken {
			found = append(found, conf.resolved.Conflict(x.Keys, x.Text))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// dataDir is the data directory that a command works on: that of --data or
// SKERRY_DATA, else that of the service's configuration file, so that the
// administrator of an installed service needs no flag. Other keys may be
// mistaken: that is not what the command is about.
func dataDir(c *cli.Context) (string, error) {
	if c.IsSet("data") {
		return c.String("data"), nil
	}
	conf, err := machine(c)
	var mistakes setting.Mistakes
	if err != nil && (!errors.As(err, &mistakes) || mistakes.About("data") || mistakes.About("")) {
		return "", fmt.Errorf("find the data directory (--data names it): %w", err)
	}
	return conf.values.Data, nil
}

// storage is where the blobs of a data directory that no process uses are, by the
// same variables and file.
func storage(c *cli.Context) (appliance.Storage, error) {
	conf, err := machine(c)
	if err != nil {
		return appliance.Storage{}, fmt.Errorf("find the blobs: %w", err)
	}
	return conf.values.Storage, nil
}

// machine is the configuration without flags, for commands that have others.
func machine(c *cli.Context) (*configuration, error) {
	name, must := os.Getenv("SKERRY_CONFIG"), true
	if name == "" {
		name, must = configDefault, false
	}
	return loadFile(c, name, must, nil)
}
