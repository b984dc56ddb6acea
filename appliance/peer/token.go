package peer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrToken says that a text is no token.
	ErrToken = errors.New("peer: not a join token")

	// ErrTokenUnknown says that the cluster has no such invitation: it was
	// revoked, perhaps.
	ErrTokenUnknown = errors.New("peer: join token unknown or revoked")

	// ErrTokenWrong says that the secret is not the invitation's.
	ErrTokenWrong = errors.New("peer: join token wrong")

	// ErrTokenExpired says that the invitation ended.
	ErrTokenExpired = errors.New("peer: join token expired")
)

const (
	tokenMark  = "skj1"
	tokenIDLen = 8
	secretLen  = 26 // 130 bits
	letters    = "abcdefghijklmnopqrstuvwxyz234567"
)

// A Token lets a node join a cluster. Whoever has it can become a member: it is
// as secret as the cluster is. Its text is skj1.<id>.<secret>.<CA hash>.
type Token struct {
	ID     string // of the invitation
	Secret string
	CAHash string // of the authority's public key, as tls.Peers names it
}

// An Invitation is what the cluster keeps of a token: it does not give the
// secret away.
type Invitation struct {
	Secret  []byte    `json:"secret"` // SHA-256
	Expires time.Time `json:"expires"`
	By      string    `json:"by"` // who made it
}

// NewToken makes a token and its invitation, which is to be kept under the
// token's ID.
func NewToken(caHash, by string, expires time.Time) (Token, Invitation) {
	t := Token{
		ID: strings.ToLower(rand.Text())[:tokenIDLen], Secret: strings.ToLower(rand.Text())[:secretLen], CAHash: caHash,
	}
	sum := sha256.Sum256([]byte(t.Secret))
	return t, Invitation{Secret: sum[:], Expires: expires, By: by}
}

// String is the text that is given to an operator. Do not log it.
func (t Token) String() string {
	return strings.Join([]string{tokenMark, t.ID, t.Secret, t.CAHash}, ".")
}

// ParseToken reads the text of a token, with space around it perhaps. Its error
// does not contain the text, and is [ErrToken].
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 {
		return Token{}, fmt.Errorf("%w: want skj1, id, secret and hash between dots, not %d parts", ErrToken, len(parts))
	}
	t := Token{ID: parts[1], Secret: parts[2], CAHash: parts[3]}
	sum, err := hex.DecodeString(t.CAHash)
	switch {
	case parts[0] != tokenMark:
		return Token{}, fmt.Errorf("%w: want it to begin with %s: is it of a newer version?", ErrToken, tokenMark)
	case !tokenID(t.ID):
		return Token{}, fmt.Errorf("%w: the id is damaged", ErrToken)
	case len(t.Secret) != secretLen || strings.Trim(t.Secret, letters) != "":
		return Token{}, fmt.Errorf("%w: the secret is damaged", ErrToken)
	case err != nil || len(sum) != sha256.Size || t.CAHash != strings.ToLower(t.CAHash):
		return Token{}, fmt.Errorf("%w: the hash is damaged: was the end cut off?", ErrToken)
	}
	return t, nil
}

func tokenID(s string) bool { return len(s) == tokenIDLen && strings.Trim(s, letters) == "" }

// ParseInvitation reads what [Invitation.Encode] wrote.
func ParseInvitation(b []byte) (i Invitation, err error) {
	if err := json.Unmarshal(b, &i); err != nil {
		return i, fmt.Errorf("read invitation: %w", err)
	}
	return i, nil
}

// Encode is the invitation as it is kept.
func (i Invitation) Encode() ([]byte, error) { return json.Marshal(i) }

// Check says whether a secret is the invited one's at a time.
func (i Invitation) Check(secret string, now time.Time) error {
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], i.Secret) != 1 {
		return fmt.Errorf("%w: its secret is another one: was it mistyped?", ErrTokenWrong)
	}
	if now.After(i.Expires) {
		return fmt.Errorf("%w on %s: make a new one", ErrTokenExpired, i.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
