package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// pickVersion is the version asked for, else what git makes of the sources, in
// a form that deb and rpm sort alike: 1.2.3~rc.1 before 1.2.3 before
// 1.2.3+5.gabcdef before 1.2.4.
func (j job) pickVersion(ctx context.Context, asked string) (string, error) {
	if asked == "" {
		asked = j.describe(ctx)
	}
	v := strings.Replace(strings.TrimPrefix(asked, "v"), "-", "~", 1)
	if !regexp.MustCompile(`^[0-9]+(\.[0-9]+)*([~+][0-9A-Za-z.+]+)?$`).MatchString(v) {
		return "", fmt.Errorf("version %q: want one as in 1.2.3, 1.3.0-rc.1 or 1.2.3+5.gabcdef", asked)
	}
	return v, nil
}

// describe is the last tag with the number of commits since, or the number of
// all commits where there is no tag.
func (j job) describe(ctx context.Context) string {
	count, err := j.git(ctx, "rev-list", "--count", "HEAD")
	if err != nil {
		return "0.0.0" // sources without their history
	}
	commit, err := j.git(ctx, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "0.0.0"
	}
	version := "0.0.0+" + count + ".g" + commit
	if tag, err := j.git(ctx, "describe", "--tags", "--abbrev=0", "--match=v[0-9]*"); err == nil {
		version = tag
		if since, err := j.git(ctx, "rev-list", "--count", tag+"..HEAD"); err == nil && since != "0" {
			version += "+" + since + ".g" + commit
		}
	}
	if changed, err := j.git(ctx, "status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		version += plusOrDot(version) + "dirty"
	}
	return version
}

// plusOrDot parts a further word from a version.
func plusOrDot(version string) string {
	if strings.Contains(version, "+") {
		return "."
	}
	return "+"
}
