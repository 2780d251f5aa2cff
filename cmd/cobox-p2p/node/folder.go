// Package node is the inside of the daemon: the data folder with the node's
// identity and its spaces, and the wiring of store, network and discovery. What
// lies in the folder is described in docs/cli.md, "Data folder".
package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Files of the data folder.
const (
	masterFile   = "master.key"  // 64 hex digits and a line feed; mode 0600
	instanceFile = "instance"    // 32 hex digits and a line feed; mode 0600
	nodeFile     = "node.json"   // the node's name
	spacesFile   = "spaces.json" // the spaces with their secrets; mode 0600
	bookFile     = "peers.json"  // addresses of peers met before
	storeFolder  = "store"
)

// maxSmallFile is more bytes than key, instance and name files have.
const maxSmallFile = 4 << 10

// ErrNotInit is returned for a folder that holds no node.
var ErrNotInit = errors.New("no node is set up")

// Folder is what identifies a node, as its data folder holds it.
type Folder struct {
	Dir      string
	Name     string // of the node, told to the peers of its spaces; may be empty
	Master   corestore.MasterKey
	Instance multifeed.Instance
}

// DefaultDir returns $COBOX_DIR, else the folder "cobox" among the user's
// application data.
func DefaultDir() (string, error) {
	if dir := os.Getenv("COBOX_DIR"); dir != "" {
		return dir, nil
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		base, err := os.UserConfigDir()
		return filepath.Join(base, "cobox"), err
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "cobox"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share", "cobox"), err
}

// Init sets up a node in dir, which it makes with mode 0700. The master key is
// written last, so that an interrupted Init can be repeated; a folder that has
// one is refused.
func Init(dir, name string) (*Folder, error) {
	if err := checkNodeName(name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("set up node: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("set up node: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, masterFile)); err == nil {
		return nil, fmt.Errorf("a node is set up in %s already", dir)
	}
	f := &Folder{Dir: dir, Name: name, Instance: multifeed.NewInstance()}
	rand.Read(f.Master[:])
	about, err := json.Marshal(nodeJSON{Version: 1, Name: name})
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		replaceFile(filepath.Join(dir, nodeFile), append(about, '\n')),
		replaceFile(filepath.Join(dir, instanceFile), hexLine(f.Instance[:])),
	)
	if err == nil {
		err = createFile(filepath.Join(dir, masterFile), hexLine(f.Master[:]))
	}
	if err != nil {
		return nil, fmt.Errorf("set up node in %s: %w", dir, err)
	}
	return f, nil
}

type nodeJSON struct {
	Version int    `json:"version"` // 1
	Name    string `json:"name"`
}

func hexLine(b []byte) []byte { return append([]byte(hex.EncodeToString(b)), '\n') }

// checkNodeName returns a *UseError for what peers would not take as a name.
func checkNodeName(name string) error {
	if len(name) > multifeed.MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return useErrorf("the name of a node has at most %d bytes of UTF-8 and no control characters", multifeed.MaxName)
	}
	return nil
}

// StoreLock returns the path of the file that a daemon has locked while it has
// the store of dir open.
func StoreLock(dir string) string { return filepath.Join(dir, storeFolder, "LOCK") }

func notInit(dir string) error {
	return fmt.Errorf("%w in %s: run cobox-p2p init --dir %q", ErrNotInit, dir, dir)
}

// CheckInit returns an error that wraps ErrNotInit when dir holds no node.
func CheckInit(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, masterFile)); errors.Is(err, fs.ErrNotExist) {
		return notInit(dir)
	}
	return nil
}

// OpenFolder reads what Init made. It returns an error that wraps ErrNotInit
// when there is no node, and refuses a folder or secrets that other users may
// read.
func OpenFolder(dir string) (*Folder, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notInit(dir)
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir}
	err = readHex(filepath.Join(dir, masterFile), f.Master[:])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notInit(dir)
	}
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(dir, info, "700"); err != nil {
		return nil, err
	}
	if err := readHex(filepath.Join(dir, instanceFile), f.Instance[:]); err != nil {
		return nil, err
	}
	about, err := readSecret(filepath.Join(dir, nodeFile), maxSmallFile)
	if err != nil {
		return nil, err
	}
	var n nodeJSON
	if err := json.Unmarshal(about, &n); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(dir, nodeFile), err)
	}
	f.Name = n.Name
	return f, checkNodeName(f.Name)
}

// readHex reads a line of hex digits that fills dst.
func readHex(path string, dst []byte) error {
	line, err := readSecret(path, maxSmallFile)
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(line)))
	if err != nil || len(raw) != len(dst) {
		return fmt.Errorf("%s is damaged: it must hold %d hex digits", path, 2*len(dst))
	}
	copy(dst, raw)
	return nil
}

// Identity returns the node's libp2p key, which follows from the master key. See
// interop/spec/keys.md, "Node identity".
func (f *Folder) Identity() crypto.PrivKey {
	seed := hypercore.KeyedHash(f.Master[:], []byte("cobox/1 identity"))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic("node: " + err.Error()) // a seed of 32 bytes always is a key
	}
	return key
}

// PeerID returns the public half of the identity.
func (f *Folder) PeerID() peer.ID {
	id, err := peer.IDFromPrivateKey(f.Identity())
	if err != nil {
		panic("node: " + err.Error())
	}
	return id
}
