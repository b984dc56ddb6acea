package meta

import (
	"bytes"
	"context"
	"fmt"
)

// A Resource is a Kubernetes-shaped configuration object; Doc is its JSON, which
// this package does not read.
type Resource struct {
	Kind, Namespace, Name string
	Version               uint64 // log index of the last change; 0 in a Put means "whatever is there"
	Doc                   []byte // at most 1 MiB
}

type resourceRecord struct {
	Version uint64 `cbor:"1,keyasint"`
	Doc     []byte `cbor:"2,keyasint"`
}

// keyResource separates by a byte that no name contains.
func keyResource(kind, namespace, name string) []byte {
	return []byte(kind + "\x00" + namespace + "\x00" + name)
}

// Resource returns one object, or [ErrNotFound].
func (db *DB) Resource(kind, namespace, name string) (res Resource, err error) {
	err = db.view(func(tx *txn) error {
		v := bucket(tx, bucketResources).Get(keyResource(kind, namespace, name))
		if v == nil {
			return ErrNotFound
		}
		var rec resourceRecord
		err := decode(v, &rec)
		res = Resource{kind, namespace, name, rec.Version, rec.Doc}
		return err
	})
	return res, err
}

// Resources lists the objects of a kind, sorted by namespace and name.
func (db *DB) Resources(kind string) (all []Resource, err error) {
	err = db.view(func(tx *txn) error {
		for rest, v := range under(bucket(tx, bucketResources), []byte(kind+"\x00")) {
			var rec resourceRecord
			if err := decode(v, &rec); err != nil {
				return err
			}
			namespace, name, _ := bytes.Cut(rest, []byte{0})
			all = append(all, Resource{kind, string(namespace), string(name), rec.Version, rec.Doc})
		}
		return nil
	})
	return all, err
}

// putResource is the command behind [Store.PutResource].
type putResource struct {
	stamp
	Kind      string `cbor:"4,keyasint"`
	Namespace string `cbor:"5,keyasint,omitempty"`
	Name      string `cbor:"6,keyasint"`
	Version   uint64 `cbor:"7,keyasint,omitempty"`
	Doc       []byte `cbor:"8,keyasint"`
}

type putResourceReply struct {
	Version uint64 `cbor:"1,keyasint"`
}

// PutResource creates or replaces an object and returns it with its new version.
// [ErrConflict] if r.Version is given and is not that of the object there,
// [ErrName] for names that are empty (Namespace may be), too long or hold a zero
// byte, and for a Doc over 1 MiB.
func (s *Store) PutResource(ctx context.Context, r Resource) (Resource, error) {
	var reply putResourceReply
	c := putResource{s.stamp(""), r.Kind, r.Namespace, r.Name, r.Version, r.Doc}
	if err := s.propose(ctx, typePutResource, c, &reply); err != nil {
		return Resource{}, fmt.Errorf("put %s %s/%s: %w", r.Kind, r.Namespace, r.Name, err)
	}
	r.Version = reply.Version
	return r, nil
}

func (c *change) putResource(cmd putResource) (any, error) {
	if !within(cmd.Kind, 1, resourceNameMax) || !within(cmd.Namespace, 0, resourceNameMax) ||
		!within(cmd.Name, 1, resourceNameMax) || len(cmd.Doc) > resourceMax {
		return nil, ErrName
	}
	b, key := bucket(c.tx, bucketResources), keyResource(cmd.Kind, cmd.Namespace, cmd.Name)
	if cmd.Version != 0 {
		var old resourceRecord
		v := b.Get(key)
		if v == nil {
			return nil, ErrConflict
		}
		if err := decode(v, &old); err != nil {
			return nil, err
		}
		if old.Version != cmd.Version {
			return nil, ErrConflict
		}
	}
	return putResourceReply{c.entry}, b.Put(key, encode(resourceRecord{c.entry, cmd.Doc}))
}

// deleteResource is the command behind [Store.DeleteResource].
type deleteResource struct {
	stamp
	Kind      string `cbor:"4,keyasint"`
	Namespace string `cbor:"5,keyasint,omitempty"`
	Name      string `cbor:"6,keyasint"`
}

// DeleteResource removes an object. [ErrNotFound].
func (s *Store) DeleteResource(ctx context.Context, kind, ns, name string) error {
	c := deleteResource{s.stamp(""), kind, ns, name}
	if err := s.propose(ctx, typeDeleteResource, c, nil); err != nil {
		return fmt.Errorf("delete %s %s/%s: %w", kind, ns, name, err)
	}
	return nil
}

func (c *change) deleteResource(cmd deleteResource) (any, error) {
	b, key := bucket(c.tx, bucketResources), keyResource(cmd.Kind, cmd.Namespace, cmd.Name)
	if b.Get(key) == nil {
		return nil, ErrNotFound
	}
	return nil, b.Delete(key)
}

// ResourceGeneration rises whenever an object may have changed: before the command
// that changed it is answered, and with every installed snapshot. It is one atomic
// load. What is read after the generation is at least as new.
func (db *DB) ResourceGeneration() uint64 { return db.resources.Load() }

// changesResources says whether a command is one of those that change objects.
func changesResources(command []byte) bool {
	t, _, err := splitCommand(command)
	return err == nil && (t == typePutResource || t == typeDeleteResource)
}
