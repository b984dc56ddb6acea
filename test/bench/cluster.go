package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Trio is three nodes on this machine that are one registry. It is owned by one
// goroutine.
type Trio struct {
	program string
	dir     string
	nodes   []*Server // nil: it does not run
}

// patience bounds every wait for something that the nodes do by themselves.
const patience = 5 * time.Minute

// nodeKind is Skerry as node n1, n2, … The first one founds the cluster that the others
// join. Each has a zone of its own.
func nodeKind(program string, number int, founder *Server) Kind {
	k := skerryKind(program)
	base, password := k.arguments, k.password
	k.arguments = func(dir, addr string, tls bool) ([]string, error) {
		args, err := base(dir, addr, tls)
		if err != nil {
			return nil, err
		}
		args = append(args, "--node", fmt.Sprint("n", number), "--zone", fmt.Sprint("z", number))
		if founder == nil {
			return args, nil
		}
		token, err := founder.command("cluster", "token", "create", "-q")
		if err != nil {
			return nil, err
		}
		return append(args, "--join", founder.client.base, "--token", token), nil
	}
	k.password = func(dir string) (string, error) {
		if founder != nil {
			return founder.client.password, nil // accounts are the cluster's
		}
		return password(dir)
	}
	return k
}

// command runs a command of the server's program as its machine's root.
func (s *Server) command(args ...string) (string, error) {
	args = append(args, "--data", filepath.Join(filepath.Dir(s.logPath), "data"))
	out, err := exec.Command(s.kind.Program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("skerry %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// startTrio starts three nodes and waits until all vote.
func startTrio(ctx context.Context, program, dir string) (_ *Trio, err error) {
	t := &Trio{program: program, dir: dir}
	defer func() {
		if err != nil {
			t.stop()
		}
	}()
	for range 3 {
		if err := t.add(ctx); err != nil {
			return nil, err
		}
	}
	return t, t.whole(ctx)
}

// add starts one more node.
func (t *Trio) add(ctx context.Context) error {
	number, founder := len(t.nodes)+1, (*Server)(nil)
	if number > 1 {
		founder = t.nodes[0]
	}
	s, err := start(ctx, nodeKind(t.program, number, founder), t.place(number), clientOptions{TLS: true, Large: true})
	if err == nil {
		t.nodes = append(t.nodes, s)
	}
	return err
}

func (t *Trio) place(number int) string { return filepath.Join(t.dir, fmt.Sprint("n", number)) }

// restart starts a killed node again, at the address that it had.
func (t *Trio) restart(ctx context.Context, i int) error {
	old := t.nodes[i]
	kind := skerryKind(t.program)
	kind.addr = strings.TrimPrefix(old.client.base, "https://")
	kind.password = func(string) (string, error) { return old.client.password, nil }
	base := kind.arguments
	kind.arguments = func(dir, addr string, tls bool) ([]string, error) {
		args, err := base(dir, addr, tls)
		return append(args, "--node", fmt.Sprint("n", i+1), "--zone", fmt.Sprint("z", i+1)), err
	}
	s, err := start(ctx, kind, t.place(i+1), clientOptions{TLS: true, Large: true})
	if err == nil {
		t.nodes[i] = s
	}
	return err
}

// stop ends all nodes at once.
func (t *Trio) stop() {
	for _, s := range t.nodes {
		s.kill()
	}
}

// A peer is a node as the cluster lists it.
type peer struct {
	Name      string `json:"name"`
	Voter     bool   `json:"voter"`
	Leader    bool   `json:"leader"`
	Here      bool   `json:"here"`
	Reachable bool   `json:"reachable"`
}

func (t *Trio) peers(ctx context.Context, at *Server) (all []peer, err error) {
	text, err := at.client.text(ctx, "/apis/skerry.dev/v1/cluster/members")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

// leader is the index of the node that leads.
func (t *Trio) leader(ctx context.Context, at *Server) (index int, err error) {
	err = until(ctx, func() error {
		all, err := t.peers(ctx, at)
		for _, p := range all {
			if _, scan := fmt.Sscanf(p.Name, "n%d", &index); p.Leader && scan == nil {
				index--
				return nil
			}
		}
		return errors.Join(err, errors.New("nobody leads"))
	})
	return index, err
}

// whole waits until all nodes vote and answer each other.
func (t *Trio) whole(ctx context.Context) error {
	return until(ctx, func() error {
		for _, s := range t.nodes {
			all, err := t.peers(ctx, s)
			if err != nil || len(all) != len(t.nodes) {
				return fmt.Errorf("%d members: %w", len(all), err)
			}
			for _, p := range all {
				if !p.Voter || !p.Here && !p.Reachable {
					return fmt.Errorf("%s is not there yet", p.Name)
				}
			}
		}
		return nil
	})
}

// holders are the indices of the nodes that have bytes of a blob, by their disks.
func (t *Trio) holders(hex string) (all []int) {
	for i := range t.nodes {
		found, _ := filepath.Glob(filepath.Join(t.place(i+1), "data", "storage", "*", "*", "*", hex))
		if len(found) == 0 {
			found, _ = filepath.Glob(filepath.Join(t.place(i+1), "data", "storage", "*", "*", hex))
		}
		if len(found) > 0 {
			all = append(all, i)
		}
	}
	return all
}

// until tries ten times a second until it works.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if late := rest(ctx, 100*time.Millisecond); late != nil {
			return errors.Join(late, err)
		}
	}
}

// benchCluster measures three nodes beside one and prints a table.
func benchCluster(ctx context.Context, opts Options, stdout, progress io.Writer) (err error) {
	program, err := filepath.Abs(opts.Skerry)
	if err == nil {
		err = os.MkdirAll(opts.Dir, 0o755)
	}
	dir := ""
	if err == nil {
		dir, err = os.MkdirTemp(opts.Dir, "cluster-")
	}
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return fmt.Errorf("make a place for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &clusterBench{opts: opts, program: program, dir: dir, progress: progress}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"pushes", b.pushes},
		{"large", b.large},
		{"failover", b.failover},
		{"repair", b.repair},
		{"join", b.join},
		{"sizing", b.sizing},
	} {
		if !opts.Rows.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return b.table(stdout)
}
