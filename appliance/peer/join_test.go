package peer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/tls"
)

// joins is the appliance's part, kept by the leader.
type joins struct {
	*node
	mu          sync.Mutex // guards what follows
	leader      *node      // nil: this one
	none        bool       // nobody leads
	invitations map[string]peer.Invitation
	members     map[string]peer.Member
	added       []peer.Node
	fail        error // of AddNonvoter
}

func (j *joins) Leader(context.Context) (peer.Node, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.none {
		return peer.Node{}, false, errNoLeader
	}
	if j.leader != nil {
		return j.leader.at, false, nil
	}
	return j.at, true, nil
}

func (j *joins) Invitation(_ context.Context, id string) (peer.Invitation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i, ok := j.invitations[id]; ok {
		return i, nil
	}
	return peer.Invitation{}, peer.ErrTokenUnknown
}

func (j *joins) Register(_ context.Context, m peer.Member, _ string) (uint16, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.members[m.Server]; ok {
		m.ID = old.ID
	} else {
		m.ID = uint16(len(j.members) + 2)
	}
	j.members[m.Server] = m
	return m.ID, nil
}

func (j *joins) AddNonvoter(_ context.Context, n peer.Node) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.added = append(j.added, n)
	return j.fail
}

func (j *joins) Members(context.Context) (ms []peer.Member, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range j.members {
		ms = append(ms, m)
	}
	return ms, nil
}

func (j *joins) Authority() (cert, key []byte, err error) { return j.peers.Authority() }

func (j *joins) ClusterID() string { return "cluster-1" }

// invite makes a token at the leader.
func (n *node) invite(life time.Duration) peer.Token {
	n.tb.Helper()
	hash, err := n.peers.CAHash()
	if err != nil {
		n.tb.Fatal(err)
	}
	token, invitation := peer.NewToken(hash, "admin", time.Now().Add(life))
	b, err := invitation.Encode()
	if err != nil {
		n.tb.Fatal(err)
	}
	if strings.Contains(string(b), token.Secret) {
		n.tb.Error("the secret is kept")
	}
	if n.joins.invitations[token.ID], err = peer.ParseInvitation(b); err != nil {
		n.tb.Fatal(err)
	}
	return token
}

func applicant() peer.Member {
	return peer.Member{
		Server: "n.disk9", Name: "n", Zone: "z1", Address: "n.example:5000",
		Role: "full", Version: "v1", Level: 2, Capacity: 1 << 40,
	}
}

func join(t *testing.T, at *node, token peer.Token, m peer.Member) (peer.Admission, error) {
	t.Helper()
	return peer.Join(t.Context(), func(ctx context.Context) (net.Conn, error) {
		return tls.DialJoin(ctx, at.at.Address, token.CAHash)
	}, token, m, sentinels()...)
}

// TestJoiningMakesAMember does all of it, by the leader and by another node.
func TestJoiningMakesAMember(t *testing.T) {
	a, b := pair(t)
	b.joins.leader = a
	token, err := peer.ParseToken(" " + a.invite(time.Hour).String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for i, asked := range []*node{a, b, b} {
		got, err := join(t, asked, token, applicant())
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != 2 || got.Cluster != "cluster-1" || len(got.Members) != 1 || got.Members[0].Zone != "z1" {
			t.Errorf("admission %+v", got)
		}
		if len(a.joins.added) != i+1 || a.joins.added[i] != (peer.Node{Server: "n.disk9", Address: "n.example:5000"}) {
			t.Errorf("added %v", a.joins.added)
		}
		if i > 0 {
			continue
		}
		dir := t.TempDir()
		if err := tls.InstallAuthority(dir, got.CACert, got.CAKey); err != nil {
			t.Fatal(err)
		}
		n := newNode(t, dir, "n.disk9")
		if _, _, err := n.client.Propose(t.Context(), a.at, []byte("x")); err != nil {
			t.Errorf("the new member: %v", err)
		}
		if _, _, err := b.client.Propose(t.Context(), n.at, []byte("x")); err != nil {
			t.Errorf("to the new member: %v", err)
		}
	}
	log := a.log.String() + b.log.String()
	if strings.Contains(log, token.Secret) || !strings.Contains(log, "via=b.disk2") {
		t.Errorf("log:\n%s", log)
	}
}

func TestTokensThatAreNoGoodSayWhy(t *testing.T) {
	a, b := pair(t)
	b.joins.leader = a
	other := newNode(t, t.TempDir(), "o.disk7")
	good, expired := a.invite(time.Hour), a.invite(-time.Second)
	wrong, revoked := good, a.invite(time.Hour)
	wrong.Secret = expired.Secret
	delete(a.joins.invitations, revoked.ID)
	for _, asked := range []*node{a, b} {
		for _, c := range []struct {
			token peer.Token
			is    error
			words string
		}{
			{expired, peer.ErrTokenExpired, "make a new one"},
			{wrong, peer.ErrTokenWrong, "mistyped"},
			{revoked, peer.ErrTokenUnknown, "revoked"},
			{other.invite(time.Hour), tls.ErrOtherCluster, "token"},
		} {
			_, err := join(t, asked, c.token, applicant())
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %v with %q", err, c.is, c.words)
			}
		}
	}
	if len(a.joins.members)+len(a.joins.added) > 0 {
		t.Errorf("registered all the same: %v", a.joins.members)
	}
	if log := a.log.String(); !strings.Contains(log, "joining refused") || strings.Contains(log, wrong.Secret) {
		t.Errorf("log:\n%s", log)
	}
}

func TestJoiningNeedsALeader(t *testing.T) {
	a, b := pair(t)
	token := a.invite(time.Hour)
	b.joins.none = true
	if _, err := join(t, b, token, applicant()); !errors.Is(err, errNoLeader) {
		t.Errorf("nobody leads: %v", err)
	}
	// Each believes that the other leads.
	b.joins.none, b.joins.leader, a.joins.leader = false, a, b
	if _, err := join(t, b, token, applicant()); !errors.Is(err, peer.ErrLoop) {
		t.Errorf("%v", err)
	}
	// What goes wrong inside is not for strangers, and can be done again.
	a.joins.leader, a.joins.fail = nil, errors.New("internal matters")
	if _, err := join(t, a, token, applicant()); err == nil || strings.Contains(err.Error(), "matters") {
		t.Errorf("%v", err)
	}
	if _, err := join(t, b, token, applicant()); err == nil || strings.Contains(err.Error(), "matters") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(a.log.String(), "internal matters") {
		t.Errorf("log:\n%s", a.log)
	}
	a.joins.fail = nil
	if _, err := join(t, b, token, applicant()); err != nil {
		t.Error(err)
	}
}

func TestApplicantsAreLookedAt(t *testing.T) {
	a := newNode(t, t.TempDir(), "a.disk1")
	token := a.invite(time.Hour)
	for what, change := range map[string]func(*peer.Member){
		"no server":     func(m *peer.Member) { m.Server = "" },
		"a line break":  func(m *peer.Member) { m.Server = "a\nlevel=INFO" },
		"a long name":   func(m *peer.Member) { m.Name = strings.Repeat("a", 256) },
		"no port":       func(m *peer.Member) { m.Address = "n.example" },
		"another role":  func(m *peer.Member) { m.Role = "king" },
		"a zone":        func(m *peer.Member) { m.Zone = "z 1" },
		"a capacity":    func(m *peer.Member) { m.Capacity = -1 },
		"much too much": func(m *peer.Member) { m.Zone = strings.Repeat("z", 1<<17) },
	} {
		m := applicant()
		change(&m)
		if _, err := join(t, a, token, m); !errors.Is(err, peer.ErrRequest) && !errors.Is(err, peer.ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(a.joins.members) > 0 || strings.Contains(a.log.String(), "\nlevel=INFO") {
		t.Errorf("%v\n%s", a.joins.members, a.log)
	}
	for _, body := range []string{"", "{", "null", "[]", `{"member":{"id":-1}}`, strings.Repeat("[", 1<<15)} {
		c, err := tls.DialJoin(t.Context(), a.at.Address, token.CAHash)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(c, "POST /peer/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: %v, %v", body, resp, err)
		}
		_ = c.Close()
	}
}

func TestAdmissionsAreWhole(t *testing.T) {
	a := newNode(t, t.TempDir(), "a.disk1")
	token := a.invite(time.Hour)
	answer := ""
	mad := &node{at: a.bare("mad.disk3", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	}))}
	for _, answer = range []string{
		"", "{}", `{"id":70000}`, `{"caCert":"YQ==","caKey":"YQ==","members":[{}]}`,
		`{"id":1,"caKey":"YQ==","members":[{}]}`, `{"id":1,"caCert":"YQ==","members":[{}]}`,
		`{"id":1,"caCert":"YQ==","caKey":"YQ=="}`,
	} {
		if got, err := join(t, mad, token, applicant()); !errors.Is(err, peer.ErrAnswer) {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}

func TestTokensAreReadStrictly(t *testing.T) {
	token, _ := peer.NewToken(strings.Repeat("0f", 32), "admin", time.Now())
	again, err := peer.ParseToken(token.String())
	if err != nil || again != token {
		t.Fatalf("%v, %v", again, err)
	}
	other, _ := peer.NewToken(token.CAHash, "admin", time.Now())
	if other.ID == token.ID || other.Secret == token.Secret {
		t.Error("two tokens are alike")
	}
	text := token.String()
	for _, bad := range []string{
		"", "skj1", text[:len(text)-1], text + "0", text + ".", strings.ToUpper(text), "skj2" + text[4:],
		strings.Replace(text, ".", "..", 1), strings.Replace(text, token.ID, "../../a", 1), text[1:],
		strings.Replace(text, token.Secret, token.Secret[1:], 1), strings.Replace(text, "0f", "0F", 1),
	} {
		_, err := peer.ParseToken(bad)
		if !errors.Is(err, peer.ErrToken) || strings.Contains(err.Error(), token.Secret[1:]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	token, _ := peer.NewToken(strings.Repeat("0f", 32), "admin", time.Now())
	f.Add(token.String())
	f.Add("skj1.a.b.c")
	f.Add(strings.Repeat(".", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := peer.ParseToken(text)
		if err != nil {
			if !errors.Is(err, peer.ErrToken) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if got.String() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}
