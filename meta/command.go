package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A commandType says what a command does. Numbers are never used again.
type commandType uint16

const (
	typeLinkBlob       commandType = 1
	typeMountBlob      commandType = 2
	typeUnlinkBlob     commandType = 3
	typePutManifest    commandType = 4
	typeDeleteTag      commandType = 5
	typeDeleteManifest commandType = 6
	typeUndelete       commandType = 7
	typeUndeleteTag    commandType = 8
	typeSetTagRules    commandType = 9
	typePutAccount     commandType = 10
	typeDeleteAccount  commandType = 11
	typePutResource    commandType = 12
	typeDeleteResource commandType = 13
	typeInitSecret     commandType = 14
	typeGCBegin        commandType = 15
	typeRenewLeases    commandType = 16
	typeCondemn        commandType = 17
	typeGCEnd          commandType = 18
	typeExpire         commandType = 19
	typeSwept          commandType = 20
	typePruneTag       commandType = 21
	typePruneManifests commandType = 22
	typePutSecret      commandType = 30
	typeDeleteSecret   commandType = 31
	typeTakeLock       commandType = 32
	typeDropLock       commandType = 33

	typeCreateToken commandType = 40
	typeDeleteToken commandType = 41
	typeGrant       commandType = 42
	typeRevoke      commandType = 43

	typePutNode      commandType = 50 // from here on level 2
	typeSetNodeState commandType = 51
	typeAddHolder    commandType = 52
	typeDropHolder   commandType = 53
	typeSweptBy      commandType = 54
)

// A command is an envelope of four bytes (version, flags, type big endian) and a
// body in CBOR. A node that meets a version, a flag or a type it does not know
// stops applying: going on would make it differ from the others.
const (
	commandVersion = 1
	envelopeSize   = 4
)

// A stamp is what every command carries, so that applying it needs no clock.
type stamp struct {
	Time  int64  `cbor:"1,keyasint"`           // Unix milliseconds, of the node that proposed it
	Actor string `cbor:"2,keyasint,omitempty"` // who asked for it
	Grace int64  `cbor:"3,keyasint,omitempty"` // milliseconds that what it leaves unreferenced is kept
}

func (s stamp) stamped() stamp { return s }

// stamped is any command's body.
type stamped interface{ stamped() stamp }

// errCommand says that a command cannot be applied by this version.
var errCommand = errors.New("meta: unknown command")

func encodeCommand(t commandType, body stamped) []byte {
	b := []byte{commandVersion, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	return append(b, encode(body)...)
}

func splitCommand(command []byte) (t commandType, body []byte, err error) {
	if len(command) < envelopeSize {
		return 0, nil, fmt.Errorf("command of %d bytes: %w", len(command), errCommand)
	}
	if command[0] != commandVersion || command[1] != 0 {
		return 0, nil, fmt.Errorf("command version %d flags %#x: %w", command[0], command[1], errCommand)
	}
	return commandType(binary.BigEndian.Uint16(command[2:])), command[envelopeSize:], nil
}

// A resultCode says how a command ended. Refusals are results: every node
// refuses alike, and the state machine goes on.
type resultCode uint8

const (
	resultDone resultCode = iota
	resultNotFound
	resultRepositoryUnknown
	resultName
	resultConflict
	resultMissing
	resultImmutable
	resultNode
	resultLevel
)

// A result is what applying a command gives back. It is encoded as nothing at
// all when there is nothing to say.
type result struct {
	Code      resultCode       `cbor:"1,keyasint,omitempty"`
	Reply     []byte           `cbor:"2,keyasint,omitempty"` // the command's own reply, in CBOR
	Missing   [][]byte         `cbor:"3,keyasint,omitempty"`
	Immutable *immutableResult `cbor:"4,keyasint,omitempty"`
}

type immutableResult struct {
	Repo string     `cbor:"1,keyasint"`
	Tag  string     `cbor:"2,keyasint"`
	Rule ruleRecord `cbor:"3,keyasint"`
}

// encodeResult turns what a command's function returned into a result. An error
// that is no refusal is returned: the state machine must stop.
func encodeResult(reply any, err error) ([]byte, error) {
	var (
		res       result
		missing   *MissingError
		immutable *ImmutableError
	)
	switch {
	case errors.Is(err, ErrCorrupt):
		return nil, err
	case errors.As(err, &missing):
		packed, perr := packDigests(missing.Digests)
		if perr != nil {
			return nil, perr
		}
		res = result{Code: resultMissing, Missing: packed}
	case errors.As(err, &immutable):
		res.Code = resultImmutable
		res.Immutable = &immutableResult{string(immutable.Repo), string(immutable.Tag), ruleRecord(immutable.Rule)}
	case errors.Is(err, ErrNotFound):
		res.Code = resultNotFound
	case errors.Is(err, ErrRepositoryUnknown):
		res.Code = resultRepositoryUnknown
	case errors.Is(err, ErrName):
		res.Code = resultName
	case errors.Is(err, ErrConflict):
		res.Code = resultConflict
	case errors.Is(err, ErrNode):
		res.Code = resultNode
	case errors.Is(err, ErrLevel):
		res.Code = resultLevel
	case err != nil:
		return nil, err
	case reply == nil:
		return nil, nil
	default:
		res.Reply = encode(reply)
	}
	return encode(res), nil
}

// decodeResult reads a result into reply, or returns the refusal as the error it was.
func decodeResult(b []byte, reply any) error {
	var res result
	if len(b) > 0 {
		if err := decode(b, &res); err != nil {
			return err
		}
	}
	switch res.Code {
	case resultDone:
		if reply == nil {
			return nil
		}
		return decode(res.Reply, reply)
	case resultNotFound:
		return ErrNotFound
	case resultRepositoryUnknown:
		return ErrRepositoryUnknown
	case resultName:
		return ErrName
	case resultConflict:
		return ErrConflict
	case resultNode:
		return ErrNode
	case resultLevel:
		return ErrLevel
	case resultMissing:
		return &MissingError{unpackDigests(res.Missing)}
	case resultImmutable:
		if i := res.Immutable; i != nil {
			return &ImmutableError{RepoName(i.Repo), Tag(i.Tag), TagRule(i.Rule)}
		}
	}
	return fmt.Errorf("result code %d: %w", res.Code, ErrCorrupt)
}
