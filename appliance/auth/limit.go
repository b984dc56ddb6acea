package auth

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Limits of failing logins. What was verified before is not counted and not
// delayed. So many may fail at once, and one more each time the pause is over.
const (
	addressFailures = 20 // from one address; of IPv6 from one /64
	addressPause    = 3 * time.Second
	accountFailures = 50 // for one account name, from wherever
	accountPause    = 2 * time.Second
	limitedKeysMax  = 8192 // addresses and names that are remembered

	hashWait      = 10 * time.Second // how long a login waits for its turn to be hashed
	verifiedMax   = 4096             // verified logins that are remembered
	credentialMax = 16 << 10         // bytes of credentials that are looked at
)

// hashersMax is how many slow hashes are computed at a time: half the processors
// stay with those who are in.
func hashersMax() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// A LimitError says that too many logins failed: this one was not looked at.
type LimitError struct {
	RetryAfter time.Duration
}

// Error says when to come back.
func (e *LimitError) Error() string {
	return fmt.Sprintf("auth: too many failed logins, try again in %d seconds", e.Seconds())
}

// Seconds is the value of a Retry-After header.
func (e *LimitError) Seconds() int { return int((e.RetryAfter + time.Second - 1) / time.Second) }

// A limiter counts logins that fail, in buckets that leak.
type limiter struct {
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex // guards buckets
	buckets *recent[uint64, bucket]
}

type bucket struct {
	used    float64
	at      time.Time
	refused bool // the last answer was no
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{seed: maphash.MakeSeed(), now: now, buckets: newRecent[uint64, bucket](limitedKeysMax)}
}

// An attempt is a login on its way: what it counts against if it fails.
type attempt struct {
	address string
	account string // "" when the name is not known yet
}

type limited struct {
	key   uint64
	burst float64
	pause time.Duration
}

func (l *limiter) of(a attempt) []limited {
	all := []limited{{maphash.String(l.seed, "address "+a.address), addressFailures, addressPause}}
	if a.account != "" {
		all = append(all, limited{maphash.String(l.seed, "account "+a.account), accountFailures, accountPause})
	}
	return all
}

// over says how long the attempt has to wait, if too many failed before it. news
// says that it is the first to be refused since one failed.
func (l *limiter) over(a attempt) (wait time.Duration, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.of(a) {
		b := l.leakedLocked(k)
		if over := b.used + 1 - k.burst; over > 0 {
			wait = max(wait, time.Duration(over*float64(k.pause)))
			news = news || !b.refused
			b.refused = true
			l.buckets.put(k.key, b)
		}
	}
	return wait, news
}

// failed counts the attempt.
func (l *limiter) failed(a attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.of(a) {
		b := l.leakedLocked(k)
		b.used++
		b.refused = false
		l.buckets.put(k.key, b)
	}
}

// leakedLocked is the bucket of k as of now.
func (l *limiter) leakedLocked(k limited) bucket {
	now := l.now()
	b, _ := l.buckets.get(k.key)
	leaked := float64(max(0, now.Sub(b.at))) / float64(k.pause) // a clock set back leaks nothing
	b.used, b.at = max(0, b.used-leaked), now
	return b
}

// clientAddress is whom a request is counted against: nobody owns less of IPv6
// than a /64.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
