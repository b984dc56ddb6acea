package auth_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// from logs in from an address.
func (w *world) from(address, name, secret string) error {
	r := request(basic(name, secret))
	r.RemoteAddr = address + ":1234"
	_, err := w.Authenticate(r)
	return err
}

func limited(err error) bool { return errors.As(err, new(*auth.LimitError)) }

func TestFailuresOfAnAddressAreLimited(t *testing.T) {
	w := newWorld(t)
	secret, other := w.made("ann"), w.made("bob")
	w.must(w.from("10.0.0.1", "ann", secret)) // in before the trouble begins
	for range auth.AddressFailures {
		if err := w.from("10.0.0.1", "mallory", "guess"); !errors.Is(err, auth.ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	told := len(w.failures())
	for range 10 {
		if err := w.from("10.0.0.1", "mallory", "guess"); !limited(err) {
			t.Fatalf("not limited: %v", err)
		}
	}
	if n := len(w.failures()) - told; n != 1 {
		t.Errorf("the limit was told of %d times, want once", n)
	}
	w.must(w.from("10.0.0.1", "ann", secret)) // what is verified is never in the way
	if err := w.from("10.0.0.1", "bob", other); !limited(err) {
		t.Errorf("the right guess came through: %v", err)
	}
	w.must(w.from("10.0.0.2", "bob", other))
	var limit *auth.LimitError
	if err := w.from("10.0.0.1", "mallory", "guess"); !errors.As(err, &limit) || limit.Seconds() != 3 {
		t.Errorf("%v", err)
	}
	w.pass(-time.Hour) // a clock set back forgives nothing
	if err := w.from("10.0.0.1", "mallory", "guess"); !limited(err) {
		t.Errorf("after the clock was set back: %v", err)
	}
	w.pass(time.Hour + auth.AddressPause)
	if err := w.from("10.0.0.1", "mallory", "guess"); limited(err) {
		t.Errorf("after the pause: %v", err)
	}
}

func TestFailuresOfAnAccountAreLimited(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	for i := range auth.AccountFailures {
		if err := w.from(fmt.Sprintf("10.0.1.%d", i), "ann", "guess"); limited(err) {
			t.Fatal(err)
		}
	}
	if err := w.from("10.0.2.1", "ann", "guess"); !limited(err) {
		t.Errorf("not limited: %v", err)
	}
	w.pass(time.Minute)
	w.must(w.from("10.0.2.1", "ann", secret))
}

// A /64 is what one client gets.
func TestIPv6IsLimitedByNetwork(t *testing.T) {
	w := newWorld(t)
	for i := range auth.AddressFailures {
		_ = w.from(fmt.Sprintf("[2001:db8::%x]", i+1), fmt.Sprintf("x%d", i), "guess")
	}
	if err := w.from("[2001:db8::ffff]", "y", "guess"); !limited(err) {
		t.Errorf("the same network: %v", err)
	}
	if err := w.from("[2001:db8:0:1::1]", "y", "guess"); limited(err) {
		t.Errorf("another network: %v", err)
	}
}

func TestSuccessesDoNotCount(t *testing.T) {
	w := newWorld(t)
	for i := range 3 * auth.AddressFailures {
		name := fmt.Sprintf("u%d", i)
		w.must(w.from("10.0.0.1", name, w.made(name)))
	}
}

// Wrong passwords by the thousand, at once: one slow hash a processor at most,
// and who is in does not notice.
func TestAThousandWrongPasswords(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	chosen := auth.Cheap("secret")
	w.must(w.store.PutAccount(t.Context(), meta.Account{Name: "chosen", Secret: chosen}))
	w.must(w.from("10.0.0.1", "ann", secret))
	var group sync.WaitGroup
	for i := range 1000 {
		group.Go(func() { _ = w.from(fmt.Sprintf("10.1.%d.1", i%8), "chosen", fmt.Sprint(i)) })
	}
	began := time.Now()
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }() // ends with the attackers
	for n := 0; ; n++ {
		select {
		case <-done:
			each := time.Since(began) / time.Duration(max(n, 1))
			t.Logf("%d logins of another meanwhile, %v each", n, each)
			if each > 10*time.Millisecond {
				t.Errorf("warm logins took %v each", each)
			}
			if n := len(w.failures()); n > auth.AccountFailures+1+auth.HashersMax() {
				t.Errorf("%d passwords were looked at", n)
			}
			return
		default:
		}
		w.must(w.from("10.0.0.1", "ann", secret))
	}
}

// Many who come at once with what is right all get in, however many wait for their
// turn; the same password is hashed once.
func TestACrowdWithTheRightPasswordsGetsIn(t *testing.T) {
	w := newWorld(t)
	hash := auth.Cheap("secret")
	for i := range 5 {
		w.must(w.store.PutAccount(t.Context(), meta.Account{Name: fmt.Sprintf("u%d", i), Secret: hash}))
	}
	release := make([]func(), auth.HashersMax())
	for i := range release {
		release[i] = w.Hold()
	}
	var group sync.WaitGroup
	errs := make(chan error, 1000)
	for i := range 300 {
		group.Go(func() { errs <- w.from("10.0.0.1", fmt.Sprintf("u%d", i%5), "secret") })
	}
	for _, r := range release {
		r()
	}
	group.Wait()
	close(errs)
	refused := 0
	for err := range errs {
		if err != nil {
			refused++
			t.Log(err)
		}
	}
	if refused > 0 {
		t.Errorf("%d of 300 were refused", refused)
	}
}
