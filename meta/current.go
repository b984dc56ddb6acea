package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

// A current is the content of the file CURRENT, the one thing that says what the durable state is:
// the database file called name, with metas as its first two pages. Everything else in the directory
// is worth what CURRENT says of it.
//
//	"SKERRYDB" · version u32 · page size u32 · applied index u64 · name length u16 · name ·
//	two meta pages · CRC-32C u32 of all before; big endian
type current struct {
	name     string
	pageSize int
	index    uint64
	metas    []byte
}

const (
	currentName    = "CURRENT"
	currentMagic   = "SKERRYDB"
	currentVersion = 1
	currentHead    = len(currentMagic) + 4 + 4 + 8 + 2
)

func (c current) encode() []byte {
	b := make([]byte, 0, currentHead+len(c.name)+len(c.metas)+4)
	b = append(b, currentMagic...)
	b = binary.BigEndian.AppendUint32(b, currentVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(c.pageSize))
	b = binary.BigEndian.AppendUint64(b, c.index)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.name)))
	b = append(b, c.name...)
	b = append(b, c.metas...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeCurrent(b []byte) (c current, err error) {
	if len(b) < currentHead+4 || string(b[:len(currentMagic)]) != currentMagic {
		return c, errors.New("it is not such a file")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return c, errors.New("its checksum is wrong")
	}
	r := body[len(currentMagic):]
	if v := binary.BigEndian.Uint32(r); v != currentVersion {
		return c, fmt.Errorf("its version is %d, this program knows %d", v, currentVersion)
	}
	c.pageSize = int(binary.BigEndian.Uint32(r[4:]))
	c.index = binary.BigEndian.Uint64(r[8:])
	n := int(binary.BigEndian.Uint16(r[16:]))
	r = r[18:]
	if len(r) != n+2*c.pageSize {
		return c, errors.New("its length is wrong")
	}
	c.name, c.metas = string(r[:n]), r[n:]
	if !strings.HasPrefix(c.name, filePrefix) || filepath.Base(c.name) != c.name {
		return c, fmt.Errorf("it names %q", c.name)
	}
	return c, nil
}

// writeTemp writes c beside CURRENT, synced. A failure leaves CURRENT as it was.
func (c current) writeTemp(dir string) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, currentName+tempSuffix), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	b := c.encode()
	_, err = f.Write(b) // into the blocks of reserveTemp, if it got them
	if err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reserveTemp takes the blocks that the next writeTemp will need, so that a disk that fills up
// meanwhile still takes the checkpoint that lets deleted pages be used again. Without space it does
// nothing, and nothing is worse than before.
func (c current) reserveTemp(dir string, extend extender) {
	f, err := os.OpenFile(filepath.Join(dir, currentName+tempSuffix), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = extend(f, 0, int64(len(c.encode())))
	_ = f.Close()
}

// publish makes what writeTemp wrote CURRENT. Before the rename a crash leaves the old one, after it
// either, once the directory is synced the new one. After an error it may be either.
func (c current) publish(dir string) error {
	path := filepath.Join(dir, currentName)
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes renames and new names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
