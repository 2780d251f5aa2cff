package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Decode returns the message of a frame that is no keep-alive: *Open, *Close,
// *Unknown for the types that aren't assigned, or a hypercore.Message. Its byte
// slices are parts of f.Body. It returns *FormatError for a message that breaks
// the format or a limit of interop/spec/frames.md.
func Decode(f Frame) (Message, error) {
	switch f.Type {
	case TypeOpen:
		return decode(f.Body, "Open", decodeOpen)
	case TypeOptions:
		return decode(f.Body, "Options", decodeOptions)
	case TypeStatus:
		return decode(f.Body, "Status", decodeStatus)
	case TypeHave:
		return decode(f.Body, "Have", decodeHave)
	case TypeUnhave:
		return decode(f.Body, "Unhave", decodeUnhave)
	case TypeWant:
		return decode(f.Body, "Want", decodeWant)
	case TypeUnwant:
		return decode(f.Body, "Unwant", decodeUnwant)
	case TypeRequest:
		return decode(f.Body, "Request", decodeRequest)
	case TypeCancel:
		return decode(f.Body, "Cancel", decodeCancel)
	case TypeData:
		return decode(f.Body, "Data", decodeData)
	case TypeClose:
		return decode(f.Body, "Close", decodeClose)
	case TypeRangeRequest:
		return decode(f.Body, "RangeRequest", decodeRangeRequest)
	case TypeRangeData:
		return decode(f.Body, "RangeData", decodeRangeData)
	case TypeExtension:
		return decodeExtension(f.Body)
	}
	return &Unknown{f.Type}, nil
}

// decode runs a decoder over the fields of body.
func decode[M any](body []byte, name string, run func(*fields, *M)) (Message, error) {
	f := fields{message: name, rest: body}
	m := new(M)
	if run(&f, m); f.err != nil {
		return nil, f.err
	}
	return m, nil
}

func decodeOpen(f *fields, m *Open) {
	for f.next() {
		switch f.num {
		case 1:
			m.DiscoveryKey = f.hash("discoveryKey")
		case 2:
			m.Capability = f.exactly("capability", CapabilitySize)
		default:
			f.skip()
		}
	}
	f.require(1, "discoveryKey")
}

func decodeClose(f *fields, m *Close) {
	for f.next() {
		switch f.num {
		case 1:
			key := hypercore.DiscoveryKey(f.hash("discoveryKey"))
			m.DiscoveryKey = &key
		default:
			f.skip()
		}
	}
}

func decodeOptions(f *fields, m *hypercore.Options) {
	for f.next() {
		switch f.num {
		case 1:
			if len(m.Extensions) == MaxExtensions {
				f.fail("extensions", "more than %d", MaxExtensions)
				return
			}
			m.Extensions = append(m.Extensions, f.string("extensions", MaxExtensionName))
		case 2:
			m.Ack = f.bool("ack")
		default:
			f.skip()
		}
	}
}

func decodeStatus(f *fields, m *hypercore.Status) {
	for f.next() {
		switch f.num {
		case 1:
			m.Uploading = f.bool("uploading")
		case 2:
			m.Downloading = f.bool("downloading")
		default:
			f.skip()
		}
	}
}

func decodeHave(f *fields, m *hypercore.Have) {
	m.Length = 1
	for f.next() {
		switch f.num {
		case 1:
			m.Start = f.uint("start", MaxSafe)
		case 2:
			m.Length = f.uint("length", MaxSafe)
		case 3:
			m.Bitfield = f.bytes("bitfield", MaxBitfield)
		case 4:
			m.Ack = f.bool("ack")
		default:
			f.skip()
		}
	}
	f.require(1, "start")
}

func decodeUnhave(f *fields, m *hypercore.Unhave) {
	m.Length = 1
	decodeSpan(f, &m.Start, &m.Length)
}

func decodeWant(f *fields, m *hypercore.Want) { decodeSpan(f, &m.Start, &m.Length) }

func decodeUnwant(f *fields, m *hypercore.Unwant) { decodeSpan(f, &m.Start, &m.Length) }

func decodeSpan(f *fields, start, length *uint64) {
	for f.next() {
		switch f.num {
		case 1:
			*start = f.uint("start", MaxSafe)
		case 2:
			*length = f.uint("length", MaxSafe)
		default:
			f.skip()
		}
	}
	f.require(1, "start")
}

func decodeRequest(f *fields, m *hypercore.Request) {
	for f.next() {
		switch f.num {
		case 1:
			m.Index = f.uint("index", MaxSafe)
		case 2:
			m.Bytes = f.uint("bytes", MaxSafe)
		case 3:
			m.Hash = f.bool("hash")
		case 4:
			m.Nodes = f.uint("nodes", MaxSafe)
		default:
			f.skip()
		}
	}
	f.require(1, "index")
}

func decodeCancel(f *fields, m *hypercore.Cancel) {
	for f.next() {
		switch f.num {
		case 1:
			m.Index = f.uint("index", MaxSafe)
		case 2:
			m.Bytes = f.uint("bytes", MaxSafe)
		case 3:
			m.Hash = f.bool("hash")
		default:
			f.skip()
		}
	}
	f.require(1, "index")
}

func decodeData(f *fields, m *hypercore.Data) {
	for f.next() {
		switch f.num {
		case 1:
			m.Index = f.uint("index", MaxSafe)
		case 2:
			m.Value = f.bytes("value", MaxFrame)
		case 3:
			m.Nodes = appendNode(f, m.Nodes, MaxNodes)
		case 4:
			m.Signature = f.exactly("signature", hypercore.SignatureSize)
		default:
			f.skip()
		}
	}
	f.require(1, "index")
}

// minNode is the least bytes of a node in Data: two tags and lengths, index,
// hash and size.
const minNode = 2 + 2 + 34 + 2

// appendNode takes one more of at most limit nodes.
func appendNode(f *fields, nodes []merkle.Node, limit int) []merkle.Node {
	if len(nodes) == limit {
		f.fail("nodes", "more than %d", limit)
		return nodes
	}
	if nodes == nil { // what follows is mostly nodes
		nodes = make([]merkle.Node, 0, min(1+len(f.rest)/minNode, limit))
	}
	return append(nodes, decodeNode(f))
}

// decodeNode takes a tree node, a message of its own in the field nodes.
func decodeNode(f *fields) (m merkle.Node) {
	n := fields{message: "Node", rest: f.bytes("nodes", MaxFrame)}
	for n.next() {
		switch n.num {
		case 1:
			m.Index = n.uint("index", MaxSafe)
		case 2:
			m.Hash = n.hash("hash")
		case 3:
			m.Size = n.uint("size", MaxSafe)
		default:
			n.skip()
		}
	}
	n.require(1, "index")
	n.require(2, "hash")
	n.require(3, "size")
	if f.err == nil {
		f.err = n.err
	}
	return m
}

func decodeExtension(body []byte) (Message, error) {
	id, n := protowire.ConsumeVarint(body)
	if n < 0 || id > MaxSafe {
		return nil, &FormatError{"Extension", "id", "no varint of at most 2^53-1"}
	}
	return &hypercore.Extension{ID: id, Payload: body[n:]}, nil
}
