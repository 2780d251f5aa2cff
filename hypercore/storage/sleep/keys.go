package sleep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
)

const (
	secretSize = hypercore.SeedSize + hypercore.KeySize
	// MaxName is the longest name of a feed in bytes.
	MaxName = 1 << 10
	// maxNameFile is the longest file name: a length and a name.
	maxNameFile = binary.MaxVarintLen64 + MaxName
)

// identity is what the small files of a feed say of its keys.
type identity struct {
	keys   []hypercore.Key     // that the feed may have, likeliest first
	pairs  []hypercore.KeyPair // that the files hold or derive
	name   string
	raw    []byte // the file key
	damage []Damage
}

var errKeyFile = errors.New("sleep: no usable key")

// readIdentity reads key, secret_key and name. With a master key, a name derives
// a key pair by corestore's rule, which takes the place of secret_key.
func readIdentity(dir string, master *corestore.MasterKey) (id identity, err error) {
	b, err := readSmall(filepath.Join(dir, keyFile), hypercore.KeySize)
	id.raw = b
	switch {
	case err != nil:
		id.bad(keyFile, err)
	case len(b) == hypercore.KeySize && hypercore.Key(b).Check() == nil:
		id.add(hypercore.Key(b))
	default:
		id.bad(keyFile, fmt.Errorf("%d bytes that are no public key", len(b)))
	}
	if err := id.readSecret(dir); err != nil {
		id.bad(secretFile, err)
	}
	if err := id.readName(dir, master); err != nil {
		id.bad(nameFile, err)
	}
	if len(id.keys) == 0 {
		return id, fmt.Errorf("%w in %s", errKeyFile, dir)
	}
	return id, nil
}

func (id *identity) bad(file string, err error) {
	id.damage = append(id.damage, Damage{File: file, Reason: BadKey, Err: err})
}

func (id *identity) add(key hypercore.Key) {
	for _, k := range id.keys {
		if k == key {
			return
		}
	}
	id.keys = append(id.keys, key)
}

func (id *identity) addPair(pair hypercore.KeyPair) {
	id.pairs = append(id.pairs, pair)
	id.add(pair.Public)
}

// pair returns the key pair of key, if there is one.
func (id *identity) pair(key hypercore.Key) hypercore.KeyPair {
	for _, p := range id.pairs {
		if p.Public == key {
			return p
		}
	}
	return hypercore.KeyPair{}
}

func (id *identity) readSecret(dir string) error {
	b, err := readSmall(filepath.Join(dir, secretFile), secretSize)
	if err != nil || len(b) == 0 {
		return err
	}
	pair, err := parseSecret(b)
	if err == nil {
		id.addPair(pair)
	}
	return err
}

// parseSecret returns the key pair of seed || public key. Both halves must
// belong together.
func parseSecret(b []byte) (hypercore.KeyPair, error) {
	if len(b) != secretSize {
		return hypercore.KeyPair{}, fmt.Errorf("%d bytes, want %d", len(b), secretSize)
	}
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte(b))
	if pair.Public != hypercore.Key(b[hypercore.SeedSize:]) {
		return hypercore.KeyPair{}, errors.New("the secret key doesn't belong to its public key")
	}
	return pair, nil
}

func (id *identity) readName(dir string, master *corestore.MasterKey) error {
	b, err := readSmall(filepath.Join(dir, nameFile), maxNameFile+1)
	if err != nil || len(b) == 0 {
		return err
	}
	name, err := parseName(b)
	if err != nil {
		return err
	}
	id.name = name
	if master != nil {
		id.addPair(master.KeyPair(name))
	}
	return nil
}

// parseName returns the name of uvarint length || name.
func parseName(b []byte) (string, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > MaxName || n != uint64(len(b)-k) {
		return "", fmt.Errorf("%d bytes that are no name of at most %d", len(b), MaxName)
	}
	return string(b[k:]), nil
}

func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}
