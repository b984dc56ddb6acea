package meta

import (
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// codec holds how commands, results and records are written and read: the core
// deterministic encoding of RFC 8949 §4.2, and a decoder that refuses whatever
// that encoder would not have written.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// arrayMax bounds every list in a command: an index of 4 MiB names some 40,000 children.
const arrayMax = 1 << 17

// theCodec is built once, on first use, and never changes.
//
//nolint:gochecknoglobals // a constant whose type has no literal; built on first use, immutable
var theCodec = sync.OnceValue(func() codec {
	opts := cbor.CoreDetEncOptions()
	opts.NilContainers = cbor.NilContainerAsEmpty
	enc, err := opts.EncMode()
	if err != nil {
		panic("meta: encoding options: " + err.Error())
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  arrayMax,
		MaxMapPairs:       arrayMax,
	}.DecMode()
	if err != nil {
		panic("meta: decoding options: " + err.Error())
	}
	return codec{enc, dec}
})

// encode writes v. It panics when v cannot be encoded: every type passed here is ours.
func encode(v any) []byte {
	b, err := theCodec().enc.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("meta: encode %T: %v", v, err))
	}
	return b
}

// decode reads into v what [encode] wrote. Unknown and duplicate keys and
// trailing bytes are errors. Byte strings in v are copies.
func decode(b []byte, v any) error {
	if err := theCodec().dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w: %w", v, ErrCorrupt, err)
	}
	return nil
}
