package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance"
)

func backupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "write everything that the registry holds to one archive",
		ArgsUsage: "FILE",
		Description: "Takes a consistent copy of a running registry while it is used. FILE - is standard output.\n" +
			"The archive holds the CA's key: keep it as safe as the data.",
		Flags:  connectFlags(),
		Action: backup,
	}
}

func backup(c *cli.Context) error {
	args, err := wantArgs(c, "FILE")
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	if args[0] == "-" {
		return client.Backup(c.Context, c.App.Writer)
	}
	// Under another name until it is whole, so that a broken one is never taken for a backup.
	part := args[0] + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	b := bar(c.App.ErrWriter, "backup", -1)
	err = client.Backup(c.Context, io.MultiWriter(f, b))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, args[0]); err != nil {
		return err
	}
	info, err := os.Stat(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "wrote %s, %s\n", args[0], size(info.Size()))
	return err
}

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "build a new data directory from a backup",
		ArgsUsage: "FILE",
		Description: "DATA must not exist yet, or be empty. Every blob is compared with its digest on the way, and goes\n" +
			"where the configuration file and the variables say (storage): not under a prefix that a registry still\n" +
			"uses.\n" +
			"Start the registry on it with skerry serve afterwards; accounts, certificates and tags are those of the\n" +
			"backup.",
		Flags:  []cli.Flag{dataFlag(), outputFlag()},
		Action: restore,
	}
}

func restore(c *cli.Context) error {
	args, err := wantArgs(c, "FILE")
	if err != nil {
		return err
	}
	in, total := io.Reader(os.Stdin), int64(-1)
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			total = info.Size()
		}
		in = f
	}
	data, err := dataDir(c)
	if err != nil {
		return err
	}
	log := newLogger(c.App.ErrWriter, "text", slog.LevelWarn)
	b := bar(c.App.ErrWriter, "restore", total)
	to, err := storage(c)
	if err != nil {
		return err
	}
	r, err := appliance.Restore(c.Context, data, to, io.TeeReader(in, b), log)
	if err != nil {
		return err
	}
	err = show(c, r, func(w io.Writer) {
		row(w, "Restored", fmt.Sprintf("%d blobs", r.Blobs), size(r.Bytes))
		for _, d := range r.Damaged {
			row(w, "Not in the backup", d)
		}
	})
	if err == nil && len(r.Damaged) > 0 {
		return errFound
	}
	return err
}
