package multifeed

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// noiseOf returns a source of random bytes, always the same.
func noiseOf(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// validKeys are feed keys that break no rule, as many as a set takes.
var validKeys = sync.OnceValue(func() []hypercore.Key {
	keys := make([]hypercore.Key, MaxFeeds)
	if raceDetector {
		keys = keys[:MaxFeeds/20]
	}
	onAllCores(len(keys), func(i int) { keys[i] = signedFeed(1<<32 + uint64(i)).pair.Public })
	return keys
})

// pageOfEntries returns a message of entries, with room to spare in MaxFeedsMessage.
func pageOfEntries(entries []Entry) (page []byte) {
	for _, e := range entries {
		page = protowire.AppendTag(page, pageEntry, protowire.BytesType)
		page = protowire.AppendBytes(page, appendEntry(nil, e))
	}
	return page
}

const hostileEntries = 100_000

func entryAttacks() []attackOn {
	noise := noiseOf(1)
	const inPage = 600
	// message makes a round that sends one message again and again.
	message := func(of func(p *hostile) []byte) func(*hostile, int) bool {
		var made []byte
		return func(p *hostile, i int) bool {
			if i == 0 {
				made = of(p)
			}
			return p.set(made)
		}
	}
	return []attackOn{
		{
			name: "entries that nobody admitted", signed: true, prepare: func(*hostile) { validKeys() }, rounds: hostileEntries / inPage, code: CodeProof, bytes: 2*MaxFeedsMessage + 1<<10,
			round: func(p *hostile, i int) bool {
				entries := make([]Entry, inPage)
				for n := range entries {
					entries[n].Feed = validKeys()[(i*inPage+n)%len(validKeys())]
					noise.Read(entries[n].Admission[:])
				}
				return p.set(pageOfEntries(entries))
			},
		},
		{
			name: "entries of random feeds", prepare: func(*hostile) { validKeys() }, rounds: hostileEntries / 1000,
			round: func(p *hostile, i int) bool {
				entries := make([]Entry, 1000)
				for n := range entries {
					if at := i*1000 + n; at < len(validKeys()) {
						entries[n].Feed = validKeys()[at]
						continue
					}
					noise.Read(entries[n].Feed[:])
				}
				return p.set(pageOfEntries(entries))
			},
		},
		{
			name: "entries of feeds that are known", feeds: 1000, rounds: hostileEntries / 1000,
			round: message(func(p *hostile) []byte {
				entries := make([]Entry, 1000)
				for n := range entries {
					entries[n].Feed = p.victim.keyAt(uint32(n))
				}
				return pageOfEntries(entries)
			}),
		},
		{
			name: "standings of feeds that are known", feeds: 1000, rounds: hostileEntries / 1000,
			round: message(func(p *hostile) []byte {
				var b []byte
				for n := range 1000 {
					dk := p.victim.keyAt(uint32(n)).Discovery()
					b = standing{name: binary.BigEndian.Uint64(dk[:]), length: 9, lacks: uint64(n & 1)}.append(b)
				}
				return bytesField(feedsStanding, b)
			}),
		},
		{
			name: "what it lacks, again and again", feeds: 1000, prepare: haveNothing, rounds: 10_000,
			round: func(p *hostile, i int) bool { return p.set(lacks{count: uint64(i&1) * 2000, named: false}.append(nil)) },
		},
		{
			name: "what it lacks, by name, again and again", feeds: 1000, prepare: haveNothing, rounds: 1000,
			round: message(func(p *hostile) []byte {
				names := make([]byte, 0, MaxLacksNamed*nameSize)
				for n := range 1000 {
					dk := p.victim.keyAt(uint32(n)).Discovery()
					names = append(names, dk[:nameSize]...)
				}
				return lacks{count: 1000, named: true, names: names}.append(nil)
			}),
		},
	}
}

// 100,000 entries cost little before their sender is cut, or are borne.
func TestHostileEntriesCostLittle(t *testing.T) { testAttacks(t, entryAttacks()) }
