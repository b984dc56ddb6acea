package tls

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// LocalNames are the names by which this machine knows itself: localhost, its
// loopback addresses, its host name, and the addresses of its interfaces.
// Addresses that are good only with a zone are left out.
func LocalNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if h, err := os.Hostname(); err == nil && checkName(strings.ToLower(h)) == nil {
		names = append(names, h)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names // without them it still serves localhost
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if ok && !n.IP.IsLinkLocalUnicast() && !n.IP.IsLoopback() {
			names = append(names, n.IP.String())
		}
	}
	return names
}

// normalize checks names, and sorts them, each once.
func normalize(names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			out = append(out, ip.String())
			continue
		}
		n = strings.ToLower(n)
		if err := checkName(n); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// checkName accepts a host name as it may stand in a certificate: ASCII labels,
// the first of which may be "*".
func checkName(n string) error {
	bad := fmt.Errorf("tls: %q is neither a host name nor an IP address", n)
	if n == "" || len(n) > 253 {
		return bad
	}
	rest, _ := strings.CutPrefix(n, "*.")
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return bad
		}
	}
	return nil
}
