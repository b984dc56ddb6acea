// Package auth answers who a request comes from and what it may do.
//
//	request ──▶ Authenticate ──▶ Principal ──▶ Allow(action, repository)
//	              │ Basic: account and password, robot and its secret, an issuer's token
//	              │ Bearer: a token of /token, a robot's secret, an issuer's token
//	              │ a verified client certificate
//	              └ nothing: anonymous, who may what system:unauthenticated may
//
// An [Authority] decides; it never writes an account, a token or a role. It
// compiles all of them into one immutable policy, which is good for one
// generation of the metadata: a change holds from the next request on, and no
// request pays a transaction. What was verified at a price (a password, a
// signature) is remembered, never that it was wrong; what it is worth is asked
// of the present policy each time.
//
// Passwords that people choose are kept as bcrypt; secrets that Skerry made
// itself carry 130 random bits, which no hash can be too fast for (ADR 8).
// Failed logins are limited by address and by account, and one that fails takes
// the same time whether its account exists or not.
//
// The tokens of /token follow the distribution token specification. They only
// ever narrow: what one allows is also asked of the policy, at each use (ADR 11).
//
// The package knows HTTP's credentials, accounts and roles. It knows nothing of
// repositories' contents and nothing of the registry's errors.
package auth
