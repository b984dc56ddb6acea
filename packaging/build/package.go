package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers itself
)

const (
	maintainer  = "The authors of Skerry <packages@skerry.dev>"
	homepage    = "https://skerry.dev/skerry"
	license     = "Apache-2.0"
	summary     = "container registry for places with no cloud under them"
	description = `Skerry is a container registry in one static binary: the registry, its
metadata store, its log, its disk and its certificates are one process. It
speaks all of the OCI distribution specification 1.1. Images that were
acknowledged are kept: through kill -9, power loss and full disks.`
)

// packages makes a deb and an rpm for each architecture, and SHA256SUMS.
func (j job) packages(ctx context.Context) error {
	if err := os.MkdirAll(j.out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	for _, format := range []string{"deb", "rpm"} {
		for _, arch := range j.archs {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			name := fmt.Sprintf("skerry_%s_%s.%s", j.version, arch, format)
			sum, err := j.pack(format, j.info(format, arch), filepath.Join(j.out, name))
			if err != nil {
				return fmt.Errorf("make %s: %w", name, err)
			}
			fmt.Fprintf(&sums, "%x  %s\n", sum, name)
		}
	}
	return os.WriteFile(filepath.Join(j.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// pack writes one package and returns the SHA-256 of its bytes.
func (j job) pack(format string, info *nfpm.Info, path string) (sum []byte, err error) {
	packager, err := nfpm.Get(format)
	if err != nil {
		return nil, err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	err = packager.Package(info, io.MultiWriter(f, hash))
	return hash.Sum(nil), errors.Join(err, f.Close())
}

// info says what is in a package of a format for an architecture.
func (j job) info(format, arch string) *nfpm.Info {
	info := &nfpm.Info{
		Name: "skerry", Arch: arch, Platform: "linux",
		Version: j.version, VersionSchema: "none", MTime: j.time,
		Maintainer: maintainer, Homepage: homepage, License: license,
		Description: summary + "\n" + description,
		Overridables: nfpm.Overridables{
			Contents: append(j.contents(arch, format), j.own(format)...),
			Umask:    0o022,
		},
	}
	if format == "deb" {
		info.Section, info.Priority = "net", "optional"
		info.Depends = []string{
			"systemd | systemd-standalone-sysusers | systemd-sysusers",
			"systemd | systemd-standalone-tmpfiles | systemd-tmpfiles",
		}
		info.Scripts = nfpm.Scripts{
			PostInstall: j.source("packaging/deb/postinst"),
			PreRemove:   j.source("packaging/deb/prerm"),
			PostRemove:  j.source("packaging/deb/postrm"),
		}
		return info
	}
	info.Release = "1"
	info.Depends = []string{"systemd"}
	info.Description = description
	info.RPM.Summary = strings.ToUpper(summary[:1]) + summary[1:]
	info.RPM.Group = "System Environment/Daemons"
	info.RPM.BuildHost, info.RPM.Packager = "localhost", maintainer
	info.RPM.Requires.Post = []string{"systemd"}
	info.Scripts = nfpm.Scripts{
		PostInstall: j.source("packaging/rpm/post"),
		PreRemove:   j.source("packaging/rpm/preun"),
		PostRemove:  j.source("packaging/rpm/postun"),
	}
	return info
}

// contents are the files that all packages have.
func (j job) contents(arch, format string) files.Contents {
	const share = "/usr/share/"
	config := j.file(j.staged("skerry.yaml"), "/etc/skerry/skerry.yaml", 0o644)
	config.Type = files.TypeConfigNoReplace
	doc := func(from, to string) *files.Content {
		c := j.file(from, to, 0o644)
		if format == "rpm" {
			c.Type = files.TypeRPMDoc
		}
		return c
	}
	return files.Contents{
		j.file(j.staged("skerry-"+arch), "/usr/bin/skerry", 0o755),
		{Destination: "/etc/skerry", Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o755}},
		config,
		j.file(j.source("packaging/systemd/skerry.service"), "/usr/lib/systemd/system/skerry.service", 0o644),
		j.file(j.source("packaging/systemd/sysusers.conf"), "/usr/lib/sysusers.d/skerry.conf", 0o644),
		j.file(j.source("packaging/systemd/tmpfiles.conf"), "/usr/lib/tmpfiles.d/skerry.conf", 0o644),
		doc(j.staged("skerry.1.gz"), share+"man/man1/skerry.1.gz"),
		j.file(j.staged("skerry.bash"), share+"bash-completion/completions/skerry", 0o644),
		j.file(j.staged("skerry.fish"), share+"fish/vendor_completions.d/skerry.fish", 0o644),
		doc(j.staged("CHANGELOG.md.gz"), share+"doc/skerry/CHANGELOG.md.gz"),
		doc(j.source("appliance/doc/operations.md"), share+"doc/skerry/operations.md"),
	}
}

// own are the files that only packages of one format have.
func (j job) own(format string) files.Contents {
	const share = "/usr/share/"
	if format == "rpm" {
		license := j.file(j.source("LICENSE"), share+"licenses/skerry/LICENSE", 0o644)
		license.Type = files.TypeRPMLicense
		return files.Contents{
			j.file(j.staged("skerry.zsh"), share+"zsh/site-functions/_skerry", 0o644),
			license,
		}
	}
	return files.Contents{
		j.file(j.staged("skerry.zsh"), share+"zsh/vendor-completions/_skerry", 0o644),
		j.file(j.staged("changelog.gz"), share+"doc/skerry/changelog.gz", 0o644),
		j.file(j.source("packaging/deb/copyright"), share+"doc/skerry/copyright", 0o644),
		j.file(j.source("packaging/deb/lintian-overrides"), share+"lintian/overrides/skerry", 0o644),
	}
}

// file is one file, owned by root, with the time of everything.
func (j job) file(from, to string, mode fs.FileMode) *files.Content {
	return &files.Content{
		Source: from, Destination: to,
		FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: j.time},
	}
}
