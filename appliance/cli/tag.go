package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

func tagCommand() *cli.Command {
	return &cli.Command{
		Name:  "tag",
		Usage: "look at the history of tags, and protect tags from change",
		Subcommands: []*cli.Command{
			{
				Name: "history", Usage: "list what a tag pointed at, newest first", ArgsUsage: "REPOSITORY:TAG",
				Flags: connectFlags(outputFlag()), Action: tagHistory,
			},
			{
				Name: "rules", Usage: "list the rules for immutable tags", ArgsUsage: " ",
				Flags: connectFlags(outputFlag()), Action: tagRules,
			},
			{
				Name: "protect", Usage: "make tags that match immutable", ArgsUsage: "REPOSITORIES TAGS",
				Description: "Patterns match whole names: * is any run of characters, ? one character.\n" +
					"   skerry tag protect 'prod/*' 'v*' --except '*-rc*'",
				Flags: connectFlags(
					&cli.StringFlag{Name: "except", Usage: "tags matching `PATTERN` stay mutable"},
				), Action: tagProtect,
			},
			{
				Name: "unprotect", Usage: "drop the rule with these patterns", ArgsUsage: "REPOSITORIES TAGS",
				Flags: connectFlags(), Action: tagUnprotect,
			},
		},
	}
}

func tagHistory(c *cli.Context) error {
	args, err := wantArgs(c, "REPOSITORY:TAG")
	if err != nil {
		return err
	}
	repo, tag, ok := cutLast(args[0], ":")
	if !ok {
		return usagef("%q: want REPOSITORY:TAG", args[0])
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	history, err := client.History(c.Context, repo, tag)
	if err != nil {
		return err
	}
	return show(c, history, func(w io.Writer) {
		row(w, "GENERATION", "CHANGE", "DIGEST", "WHEN", "WHO")
		for _, e := range history {
			row(w, e.Generation, e.Change, e.Digest, age(e.Time), e.Actor)
		}
	})
}

func tagRules(c *cli.Context) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	rules, err := client.TagRules(c.Context)
	if err != nil {
		return err
	}
	return show(c, rules, func(w io.Writer) {
		row(w, "REPOSITORIES", "TAGS", "EXCEPT")
		for _, r := range rules {
			row(w, r.Repositories, r.Tags, r.Except)
		}
	})
}

func tagProtect(c *cli.Context) error {
	return changeRules(c, func(rules []meta.TagRule, repos, tags string) ([]meta.TagRule, error) {
		rules = slices.DeleteFunc(rules, sameRule(repos, tags))
		return append(rules, meta.TagRule{Repositories: repos, Tags: tags, Except: c.String("except")}), nil
	})
}

func tagUnprotect(c *cli.Context) error {
	return changeRules(c, func(rules []meta.TagRule, repos, tags string) ([]meta.TagRule, error) {
		rest := slices.DeleteFunc(slices.Clone(rules), sameRule(repos, tags))
		if len(rest) == len(rules) {
			return nil, fmt.Errorf("there is no rule for %s %s: see skerry tag rules", repos, tags)
		}
		return rest, nil
	})
}

func sameRule(repos, tags string) func(meta.TagRule) bool {
	return func(r meta.TagRule) bool { return r.Repositories == repos && r.Tags == tags }
}

func changeRules(c *cli.Context, change func(rules []meta.TagRule, repos, tags string) ([]meta.TagRule, error)) error {
	args, err := wantArgs(c, "REPOSITORIES", "TAGS")
	if err != nil {
		return err
	}
	client, err := connect(c)
	if err != nil {
		return err
	}
	rules, err := client.TagRules(c.Context)
	if err != nil {
		return err
	}
	if rules, err = change(rules, args[0], args[1]); err != nil {
		return err
	}
	return client.SetTagRules(c.Context, rules)
}

func deletedCommand() *cli.Command {
	return &cli.Command{
		Name:      "deleted",
		Usage:     "list what can still be undeleted",
		ArgsUsage: "REPOSITORY",
		Flags:     connectFlags(outputFlag()),
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, "REPOSITORY")
			if err != nil {
				return err
			}
			client, err := connect(c)
			if err != nil {
				return err
			}
			deleted, err := client.Deleted(c.Context, args[0])
			if err != nil {
				return err
			}
			return show(c, deleted, func(w io.Writer) {
				row(w, "DIGEST", "TAGS", "DELETED", "BY", "WHY", "GONE")
				for _, d := range deleted {
					row(w, d.Digest, joinTags(d.Tags), age(d.Time), d.Actor, d.Reason, age(d.Until))
				}
			})
		},
	}
}

func joinTags(tags []meta.Tag) string {
	var b strings.Builder
	for i, t := range tags {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(t))
	}
	return b.String()
}

func undeleteCommand() *cli.Command {
	return &cli.Command{
		Name:      "undelete",
		Usage:     "bring a deleted tag or manifest back",
		ArgsUsage: "REPOSITORY:TAG | REPOSITORY@DIGEST",
		Flags:     connectFlags(),
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, "REPOSITORY:TAG or REPOSITORY@DIGEST")
			if err != nil {
				return err
			}
			q, err := parseUndelete(args[0])
			if err != nil {
				return err
			}
			client, err := connect(c)
			if err != nil {
				return err
			}
			return client.Undelete(c.Context, q)
		},
	}
}

func parseUndelete(ref string) (api.UndeleteRequest, error) {
	if repo, d, ok := strings.Cut(ref, "@"); ok {
		return api.UndeleteRequest{Repository: meta.RepoName(repo), Digest: digest.Digest(d)}, nil
	}
	if repo, tag, ok := cutLast(ref, ":"); ok {
		return api.UndeleteRequest{Repository: meta.RepoName(repo), Tag: meta.Tag(tag)}, nil
	}
	return api.UndeleteRequest{}, usagef("%q: want REPOSITORY:TAG or REPOSITORY@DIGEST", ref)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
