package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	keysEvery   = 10 * time.Minute // an issuer's keys are fetched again
	keysRetry   = 10 * time.Second // after a failure, and at most for tokens of unknown keys
	keysTimeout = 5 * time.Second  // of one fetch
	keysWait    = 2 * time.Second  // how long a token of an unknown key waits for a fetch
	keysMax     = 1 << 20          // bytes of a key set
)

// errKeys says that no key of the issuer's that is known signed a token.
var errKeys = errors.New("no known key of the issuer has signed the token")

// OIDCConfig says whose tokens are accepted. The fields mean what the flags
// --oidc-… of kube-apiserver mean.
type OIDCConfig struct {
	Issuer         string // URL, https
	Audience       string // client id that tokens must be for
	UsernameClaim  string // "" means sub
	GroupsClaim    string // "" reads no groups
	UsernamePrefix string // "" means "ISSUER#" unless the claim is email; "-" means none
	GroupsPrefix   string
	Client         *http.Client // trusts the issuer's certificate
	Log            *slog.Logger
}

// OIDC verifies tokens of one issuer, with keys that it fetched before. It is
// safe for concurrent use. Without [OIDC.Run] no key is ever known.
type OIDC struct {
	cfg  OIDCConfig
	keys atomic.Pointer[oidc.StaticKeySet] // nil: none known yet
	want chan struct{}                     // somebody asks for a fetch

	mu      sync.Mutex    // guards the next two
	round   chan struct{} // closed when the fetch that comes next is over
	fetched time.Time     // end of the last one
}

// A user is whom a token of the issuer names.
type user struct {
	name   string
	groups []string
	until  time.Time
}

// NewOIDC returns an OIDC. It does not speak to the issuer.
func NewOIDC(cfg OIDCConfig) (*OIDC, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("issuer %q: want an https URL, as the issuer writes itself in its tokens", cfg.Issuer)
	}
	if cfg.Audience == "" {
		return nil, errors.New("an issuer needs an audience: the client id that its tokens for this registry carry")
	}
	if cfg.UsernameClaim == "" {
		cfg.UsernameClaim = "sub"
	}
	switch {
	case cfg.UsernamePrefix == "-":
		cfg.UsernamePrefix = ""
	case cfg.UsernamePrefix == "" && cfg.UsernameClaim != "email":
		cfg.UsernamePrefix = cfg.Issuer + "#"
	}
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &OIDC{cfg: cfg, want: make(chan struct{}, 1), round: make(chan struct{})}, nil
}

// Run keeps the issuer's keys until ctx ends. An issuer that is away is tried
// again; the keys that are known stay good.
func (o *OIDC) Run(ctx context.Context) error {
	failing := false
	for {
		err := o.fetch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause := keysEvery
		switch {
		case err != nil:
			pause = keysRetry
			if !failing {
				o.cfg.Log.WarnContext(ctx, "oidc issuer cannot be asked for its keys; trying again",
					"issuer", o.cfg.Issuer, "err", err)
			}
		case failing:
			o.cfg.Log.InfoContext(ctx, "oidc issuer answers again", "issuer", o.cfg.Issuer)
		}
		failing = err != nil
		if !o.rest(ctx, pause) {
			return nil
		}
	}
}

// rest waits for the next fetch to be due, or wanted. It is false when ctx ends.
func (o *OIDC) rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-o.want:
	}
	return true
}

// fetch asks the issuer for its keys, and tells those who wait that it did.
func (o *OIDC) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	keys, err := o.fetchKeys(oidc.ClientContext(ctx, o.cfg.Client))
	if err == nil {
		o.keys.Store(keys)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.round)
	o.round, o.fetched = make(chan struct{}), time.Now()
	return err
}

func (o *OIDC) fetchKeys(ctx context.Context) (*oidc.StaticKeySet, error) {
	provider, err := oidc.NewProvider(ctx, o.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, found.Keys, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	resp, err := o.cfg.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: %s answers %s", found.Keys, resp.Status)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(resp.Body, keysMax)).Decode(&set); err != nil {
		return nil, fmt.Errorf("read keys of %s: %w", found.Keys, err)
	}
	return publicKeys(set)
}

// publicKeys are the keys of a set that can have signed a token.
func publicKeys(set jose.JSONWebKeySet) (*oidc.StaticKeySet, error) {
	var keys []crypto.PublicKey
	for _, k := range set.Keys {
		if k.IsPublic() && k.Valid() && k.Use != "enc" { // a symmetric key is not public
			keys = append(keys, k.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer has no public key that signs")
	}
	return &oidc.StaticKeySet{PublicKeys: keys}, nil
}

// VerifySignature implements [oidc.KeySet].
func (o *OIDC) VerifySignature(ctx context.Context, raw string) (payload []byte, err error) {
	for last := false; ; last = true {
		err = errKeys
		if keys := o.keys.Load(); keys != nil {
			if payload, err = keys.VerifySignature(ctx, raw); err == nil {
				return payload, nil
			}
		}
		if last || !o.refetch(ctx) {
			return nil, fmt.Errorf("%w (%w)", errKeys, err)
		}
	}
}

// refetch waits for keys that are newer than those known, if they are not quite
// new. It is false when there is no hope for any.
func (o *OIDC) refetch(ctx context.Context) bool {
	o.mu.Lock()
	round, since := o.round, time.Since(o.fetched)
	o.mu.Unlock()
	if since < keysRetry {
		return false
	}
	select {
	case o.want <- struct{}{}:
	default: // it is wanted already
	}
	wait := time.NewTimer(keysWait)
	defer wait.Stop()
	select {
	case <-round:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

// signingAlgorithms are those of public keys: a token that is signed with an
// issuer's public key as if it were a password is none.
func signingAlgorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.EdDSA,
	}
}

// verify checks a token and reads whom it names.
func (o *OIDC) verify(ctx context.Context, raw string, now func() time.Time) (user, error) {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	if got := claimedIssuer(payload); got != o.cfg.Issuer { // before anybody is asked for keys
		return user{}, fmt.Errorf("token is issued by %.200q, not by %q", got, o.cfg.Issuer)
	}
	verifier := oidc.NewVerifier(o.cfg.Issuer, o, &oidc.Config{
		ClientID: o.cfg.Audience, SupportedSigningAlgs: signingAlgorithms(), Now: now,
	})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return user{}, err
	}
	var c map[string]json.RawMessage
	if err := token.Claims(&c); err != nil {
		return user{}, fmt.Errorf("read claims: %w", err)
	}
	u, err := o.user(c)
	u.until = token.Expiry
	return u, err
}

// user reads the claims that name somebody.
func (o *OIDC) user(c map[string]json.RawMessage) (u user, err error) {
	var name string
	if err := json.Unmarshal(c[o.cfg.UsernameClaim], &name); err != nil || name == "" {
		return u, fmt.Errorf("token has no claim %q that names its user", o.cfg.UsernameClaim)
	}
	if v, ok := c["email_verified"]; ok && o.cfg.UsernameClaim == "email" && string(v) != "true" {
		return u, errors.New("the issuer has not verified the token's email")
	}
	u.name = o.cfg.UsernamePrefix + name
	if err := checkPrintable(u.name); err != nil {
		return u, err
	}
	if strings.HasPrefix(u.name, reserved) || strings.HasPrefix(u.name, robots) {
		return u, fmt.Errorf("user %q: names that begin with %s or %s are the system's own", u.name, reserved, robots)
	}
	u.groups, err = o.groups(c)
	return u, err
}

// groups reads the groups claim: a list, or one name. The system's own are not
// the issuer's to give.
func (o *OIDC) groups(c map[string]json.RawMessage) (groups []string, err error) {
	raw, ok := c[o.cfg.GroupsClaim]
	if o.cfg.GroupsClaim == "" || !ok {
		return nil, nil
	}
	var list []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("claim %q is no list of groups", o.cfg.GroupsClaim)
	}
	for _, g := range list {
		if g = o.cfg.GroupsPrefix + g; !strings.HasPrefix(g, reserved) {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// expired turns the library's word for it into ours.
func expired(err error) error {
	if errors.As(err, new(*oidc.TokenExpiredError)) {
		return ErrExpired
	}
	return err
}
