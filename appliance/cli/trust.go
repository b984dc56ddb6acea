package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"skerry.dev/skerry/appliance"
)

func trustCommand() *cli.Command {
	return &cli.Command{
		Name:      "trust",
		Usage:     "make the clients on this machine trust a registry's CA",
		ArgsUsage: "[podman|docker|containerd|system]...",
		Description: "Puts the CA's certificate where the clients look for it; without arguments, for those of podman,\n" +
			"docker and containerd that are found here. system, which makes every program trust the CA for every\n" +
			"host, has to be named. With --server, the fingerprint must be the one that skerry serve prints there.",
		Flags: []cli.Flag{
			dataFlag(),
			&cli.StringFlag{
				Name: "server", EnvVars: env("SERVER"), Usage: "https `URL` of a registry elsewhere, instead of --data",
			},
			&cli.StringSliceFlag{
				Name:  "host",
				Usage: "`HOST[:PORT]` as in image names (repeatable; default: that of --server, or localhost:5000)",
			},
			&cli.StringFlag{Name: "fingerprint", Usage: "`sha256:…` that the CA must have"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "trust whoever answers at --server, unseen"},
			&cli.StringFlag{Name: "root", Usage: "`DIR` to take for /, for images and tests; no program is run then"},
			&cli.BoolFlag{Name: "print", Usage: "only print the CA's certificate"},
			&cli.BoolFlag{Name: "remove", Usage: "take the trust back"},
		},
		Action: trust,
	}
}

func trust(c *cli.Context) error {
	hosts, err := trustHosts(c)
	if err != nil {
		return err
	}
	if c.Bool("print") {
		ca, err := trustCA(c)
		if err == nil {
			_, err = c.App.Writer.Write(ca)
		}
		return err
	}
	places, err := trustPlaces(c.Args().Slice(), c.String("root"))
	if err != nil {
		return err
	}
	if c.Bool("remove") {
		return places.remove(c.Context, c.App.Writer, hosts)
	}
	ca, err := trustCA(c)
	if err != nil {
		return err
	}
	return places.add(c.Context, c.App.Writer, hosts, ca)
}

// hostPattern is what may stand before the first slash of an image's name, and
// can be the name of a directory.
var hostPattern = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z][0-9A-Za-z._-]*)(:[0-9]{1,5})?$`)

func trustHosts(c *cli.Context) ([]string, error) {
	hosts := c.StringSlice("host")
	switch server := c.String("server"); {
	case len(hosts) > 0:
	case server != "":
		u, err := url.Parse(server)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, usagef("server %q: want a URL that begins with https://", server)
		}
		hosts = []string{u.Host}
	default:
		hosts = []string{"localhost" + appliance.Defaults().Listen}
	}
	for _, h := range hosts {
		if !hostPattern.MatchString(h) {
			return nil, usagef("host %q: want HOST or HOST:PORT", h)
		}
	}
	return hosts, nil
}

// trustCA reads the certificate, or asks for it; the latter only for good if
// the user can know that it is the right one.
func trustCA(c *cli.Context) ([]byte, error) {
	ca, err := readCA(c)
	if err != nil {
		return nil, err
	}
	fingerprint, err := appliance.Fingerprint(ca)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	if want := c.String("fingerprint"); want != "" {
		if bareFingerprint(want) != bareFingerprint(fingerprint) {
			return nil, fmt.Errorf("the CA has the fingerprint %s, not %s: it may be somebody else's. Nothing was written",
				fingerprint, want)
		}
		return ca, nil
	}
	if c.String("server") == "" || c.Bool("yes") {
		_, _ = fmt.Fprintln(c.App.ErrWriter, "CA", fingerprint)
		return ca, nil
	}
	return ca, confirm(c, fingerprint)
}

func readCA(c *cli.Context) ([]byte, error) {
	if server := c.String("server"); server != "" {
		ca, err := appliance.FetchCA(c.Context, server)
		if err != nil {
			return nil, fmt.Errorf("fetch CA certificate: %w", err)
		}
		return ca, nil
	}
	ca, err := os.ReadFile(appliance.CAFile(c.String("data")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no CA of its own: name another with --data, or a registry elsewhere with --server",
			c.String("data"))
	}
	return ca, err
}

// bareFingerprint leaves out what people and openssl write in addition.
func bareFingerprint(s string) string {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	return strings.ReplaceAll(s, ":", "")
}

// confirm asks whoever sits at the terminal.
func confirm(c *cli.Context, fingerprint string) error {
	in, ok := c.App.Reader.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("%s hands out the CA %s: if skerry serve printed the same there, repeat this with --fingerprint %s",
			c.String("server"), fingerprint, fingerprint)
	}
	_, _ = fmt.Fprintf(c.App.ErrWriter, "%s hands out the CA\n  %s\nDid skerry serve print the same there? [y/N] ",
		c.String("server"), fingerprint)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("not confirmed: nothing was written")
	}
	return nil
}
