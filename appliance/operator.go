package appliance

import (
	"context"
	"fmt"
	"io"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

// operator is what the control API may ask of the appliance.
type operator struct{ a *Appliance }

var _ api.Operator = operator{}

func (o operator) Status(ctx context.Context) (api.Status, error) { return o.a.status(ctx) }

func (o operator) Collect(ctx context.Context, dryRun bool) (meta.CollectReport, error) {
	return o.a.collect(ctx, dryRun)
}

func (o operator) Prune(ctx context.Context, q api.PruneRequest, actor string) (meta.PruneReport, error) {
	return o.a.prune(ctx, q, actor)
}

func (o operator) Scrub(
	ctx context.Context, q api.ScrubRequest, progress func(api.ScrubReport),
) (api.ScrubReport, error) {
	return o.a.scrub(ctx, q, progress)
}

func (o operator) Check(ctx context.Context, found func(meta.Problem)) error {
	return o.a.check(ctx, found)
}

func (o operator) Backup(ctx context.Context, w io.Writer) error { return o.a.backup(ctx, w) }

func (o operator) History(_ context.Context, repo meta.RepoName, tag meta.Tag) ([]meta.TagEvent, error) {
	return o.a.meta.History(repo, tag)
}

func (o operator) Deleted(_ context.Context, repo meta.RepoName) ([]meta.Deleted, error) {
	return o.a.meta.DeletedManifests(repo)
}

func (o operator) Undelete(ctx context.Context, q api.UndeleteRequest, actor string) error {
	repo, err := meta.ParseRepoName(string(q.Repository))
	if err != nil {
		return err
	}
	if (q.Tag == "") == (q.Digest == "") {
		return fmt.Errorf("%w: name a tag or a digest to undelete", api.ErrInvalid)
	}
	if q.Digest != "" {
		if err := q.Digest.Validate(); err != nil {
			return fmt.Errorf("%w: digest %q: %w", api.ErrInvalid, q.Digest, err)
		}
		_, err := o.a.meta.UndeleteManifest(ctx, repo, q.Digest, actor)
		return err
	}
	tag, err := meta.ParseTag(string(q.Tag))
	if err != nil {
		return err
	}
	_, err = o.a.meta.UndeleteTag(ctx, repo, tag, actor)
	return err
}

func (o operator) TagRules(context.Context) ([]meta.TagRule, error) { return o.a.meta.TagRules() }

func (o operator) SetTagRules(ctx context.Context, rules []meta.TagRule, actor string) error {
	for i, r := range rules {
		if r.Repositories == "" || r.Tags == "" {
			return fmt.Errorf("%w: rule %d needs a pattern for repositories and one for tags; * matches all",
				api.ErrInvalid, i+1)
		}
	}
	return o.a.meta.SetTagRules(ctx, rules, actor)
}
