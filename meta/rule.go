package meta

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Limits of tag rules. Each is matched at each change of a tag.
const (
	rulesMax   = 1000
	patternMax = 512 // bytes
)

// A TagRule makes matching tags immutable: once set they are not moved and not
// deleted. Patterns: * any run of characters (in Repositories also "/"), ? one
// character, everything else itself; the whole name must match.
type TagRule struct {
	Repositories string
	Tags         string
	Except       string // tags that stay mutable although they match; "" none
}

type ruleRecord struct {
	Repositories string `cbor:"1,keyasint"`
	Tags         string `cbor:"2,keyasint"`
	Except       string `cbor:"3,keyasint,omitempty"`
}

// matches says whether the rule makes the tag immutable.
func (r TagRule) matches(repo RepoName, t Tag) bool {
	return MatchGlob(r.Repositories, string(repo)) && MatchGlob(r.Tags, string(t)) &&
		(r.Except == "" || !MatchGlob(r.Except, string(t)))
}

// MatchGlob says whether pattern matches all of s: * stands for any characters, ?
// for one. The last star alone ever gives characters back, so the time is bounded
// by the product of the lengths.
func MatchGlob(pattern, s string) bool {
	star, resume := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// TagRules lists the rules in their order.
func (db *DB) TagRules() (rules []TagRule, err error) {
	err = db.view(func(tx *txn) error {
		rules, err = tagRules(tx)
		return err
	})
	return rules, err
}

func tagRules(tx *txn) (rules []TagRule, err error) {
	for _, v := range under(bucket(tx, bucketRules), nil) {
		var rec ruleRecord
		if err := decode(v, &rec); err != nil {
			return nil, err
		}
		rules = append(rules, TagRule(rec))
	}
	return rules, nil
}

// mutable refuses with an [*ImmutableError] if a rule matches the tag.
func (c *change) mutable(repo RepoName, t Tag) error {
	rules, err := tagRules(c.tx)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if rule.matches(repo, t) {
			return &ImmutableError{Repo: repo, Tag: t, Rule: rule}
		}
	}
	return nil
}

func keyRule(position int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(position)) }

// setTagRules is the command behind [Store.SetTagRules].
type setTagRules struct {
	stamp
	Rules []ruleRecord `cbor:"4,keyasint,omitempty"`
}

// SetTagRules replaces all rules. They hold from the next change of a tag on:
// tags that are there already become immutable where they match. [ErrName] for
// an empty pattern, one longer than 512 bytes, or more than 1000 rules.
func (s *Store) SetTagRules(ctx context.Context, rules []TagRule, actor string) error {
	c := setTagRules{stamp: s.stamp(actor)}
	for _, rule := range rules {
		c.Rules = append(c.Rules, ruleRecord(rule))
	}
	if err := s.propose(ctx, typeSetTagRules, c, nil); err != nil {
		return fmt.Errorf("set tag rules: %w", err)
	}
	return nil
}

func (c *change) setTagRules(cmd setTagRules) (any, error) {
	if len(cmd.Rules) > rulesMax {
		return nil, ErrName
	}
	for _, rec := range cmd.Rules {
		if !within(rec.Repositories, 1, patternMax) || !within(rec.Tags, 1, patternMax) ||
			!within(rec.Except, 0, patternMax) {
			return nil, ErrName
		}
	}
	rules, err := emptied(c.tx, bucketRules)
	if err != nil {
		return nil, err
	}
	for i, rec := range cmd.Rules {
		if err := rules.Put(keyRule(i), encode(rec)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
