package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// space is one space of the node.
type space struct {
	entry            entry
	address          multifeed.Address
	*multifeed.Space                  // nil when it could not be opened
	member           *host.Membership // nil when it is not joined
	err              error            // why it could not be opened
	up, down         *multifeed.Pace  // its own limits of rates; nil when it could not be opened
	handed           *handed          // writers shared with the old software; nil when it could not be opened

	life context.Context // ends, with errLeft, when the space is left
	end  context.CancelCauseFunc
}

// errLeft ends what is done with a space that is being left.
var errLeft = errors.New("the space was left meanwhile")

func newSpace(e entry) *space {
	s := &space{entry: e}
	s.life, s.end = context.WithCancelCause(context.Background())
	return s
}

// during returns a context that ends with ctx or when the space is left.
func (s *space) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(errLeft) })
	return ctx, func() { stop(); cancel(nil) }
}

// why names the reason when ctx, which is from during, ended because the space
// was left.
func (s *space) why(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errLeft) {
		return fmt.Errorf("space %s: %w", s.entry.Name, errLeft)
	}
	return err
}

// SpaceInfo is what a person may be told of a space, and with Secret what lets
// him in.
type SpaceInfo struct {
	Name         string `json:"name"`
	Address      string `json:"address"`
	DiscoveryKey string `json:"discoveryKey"`
	Kind         string `json:"kind"` // signed or open
	Mode         string `json:"mode"` // member or seeder
	// Secret is set by Create, and by Show when it was asked for: the secret of a
	// signed space, the access key of an open one.
	Secret string `json:"secret,omitempty"`
	Error  string `json:"error,omitempty"` // why the space could not be opened
}

func (s *space) info() SpaceInfo {
	i := SpaceInfo{
		Name: s.entry.Name, Address: s.address.String(), Kind: s.address.Kind.String(), Mode: s.entry.Mode,
		DiscoveryKey: s.address.Discovery().String(),
	}
	if s.err != nil {
		i.Error = s.err.Error()
	}
	return i
}

// usable returns the error of a space that could not be opened.
func (s *space) usable() error {
	switch {
	case s.err != nil:
		return fmt.Errorf("space %s could not be opened: %w", s.entry.Name, s.err)
	case s.entry.Leaving:
		return fmt.Errorf("space %s is being left: run space leave %q again, or start the daemon anew, to finish", s.entry.Name, s.entry.Name)
	}
	return nil
}

// Spaces returns the node's spaces by the time of their joining.
func (n *Node) Spaces() []SpaceInfo {
	all := []SpaceInfo{}
	for _, s := range n.list() {
		all = append(all, s.info())
	}
	return all
}

// Show returns one space, with its secret when that is asked for.
func (n *Node) Show(name string, secret bool) (SpaceInfo, error) {
	s, err := n.find(name)
	if err != nil {
		return SpaceInfo{}, err
	}
	i := s.info()
	if secret {
		if s.entry.Mode == ModeSeeder {
			return SpaceInfo{}, useErrorf("space %s is only seeded here: this node never had its secret", i.Name)
		}
		i.Secret = s.entry.Access
	}
	return i, nil
}

// Create makes a new space, signed or open, and joins it. An empty name stands
// for the first 8 hex digits of the discovery key. The answer holds the secret.
func (n *Node) Create(name string, open bool) (SpaceInfo, error) {
	text := multifeed.FormatSecret(multifeed.NewSecret())
	if open {
		var err error
		if text, err = multifeed.FormatAccessKey(multifeed.NewOpenAddress(), multifeed.NewEncryptionKey()); err != nil {
			return SpaceInfo{}, err
		}
	}
	i, err := n.add(entry{Name: name, Access: text, Mode: ModeMember})
	if err == nil {
		i.Secret = text
	}
	return i, err
}

// Join makes the node a member of the space whose secret or access key text is.
func (n *Node) Join(text, name string) (SpaceInfo, error) {
	a, err := multifeed.ParseAccess(text)
	switch {
	case err != nil:
		return SpaceInfo{}, &UseError{err.Error()}
	case a.Kind == multifeed.KindSigned && a.Secret == nil, a.EncryptionKey == nil:
		return SpaceInfo{}, useErrorf("that is the address of a space and not its secret, nothing could be read with it: use space seed to store and serve the space, or ask a member for the secret")
	}
	if a.Secret != nil {
		text = multifeed.FormatSecret(*a.Secret)
	} else if text, err = multifeed.FormatAccessKey(a.Address, *a.EncryptionKey); err != nil {
		return SpaceInfo{}, err
	}
	return n.add(entry{Name: name, Access: text, Mode: ModeMember})
}

// Seed makes the node a seeder of the space with that address. Of a secret only
// the address is kept.
func (n *Node) Seed(text, name string) (SpaceInfo, error) {
	a, err := multifeed.ParseAccess(text)
	if err != nil {
		return SpaceInfo{}, &UseError{err.Error()}
	}
	return n.add(entry{Name: name, Access: a.Address.String(), Mode: ModeSeeder})
}

// add opens, joins and remembers a new space.
func (n *Node) add(e entry) (SpaceInfo, error) {
	a, err := e.access()
	if err != nil {
		return SpaceInfo{}, err
	}
	if e.Name == "" {
		e.Name = a.Discovery().String()[:8]
	}
	if err := checkNewName(e.Name); err != nil {
		return SpaceInfo{}, err
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	closed, incoming := n.closed, n.incoming[a.Address]
	n.mu.Unlock()
	switch {
	case closed:
		return SpaceInfo{}, ErrClosed
	case incoming:
		return SpaceInfo{}, errIncoming
	}
	spaces := n.list()
	if err := refuseNew(e, a.Address, spaces); err != nil {
		return SpaceInfo{}, err
	}
	s := newSpace(e)
	if err := n.openSpace(s); err != nil {
		return SpaceInfo{}, fmt.Errorf("space %s: %w", e.Name, err)
	}
	if err := n.saveLocked(append(spaces, s)); err != nil {
		return SpaceInfo{}, errors.Join(err, s.member.Leave(), s.Space.Close())
	}
	return s.info(), nil
}

// refuseNew returns why a space can't join the others, or nil.
func refuseNew(e entry, address multifeed.Address, spaces []*space) error {
	for _, o := range spaces {
		switch {
		case o.address == address && o.entry.Mode == ModeSeeder && e.Mode == ModeMember:
			return useErrorf("the space is seeded here already as %s: run space leave --keep %q first, its blocks stay", o.entry.Name, o.entry.Name)
		case o.address == address:
			return useErrorf("the space is here already, as %s", o.entry.Name)
		case o.entry.Name == e.Name:
			return useErrorf("a space here is named %s already: choose another name", e.Name)
		}
	}
	if len(spaces) >= MaxSpaces {
		return fmt.Errorf("over %d spaces", MaxSpaces)
	}
	return nil
}

// find returns the one space that text names: by its name, its address, or the
// beginning of name, address or discovery key.
func (n *Node) find(text string) (*space, error) {
	spaces := n.list()
	if i := slices.IndexFunc(spaces, func(s *space) bool { return s.entry.Name == text }); i >= 0 {
		return spaces[i], nil
	}
	if a, err := multifeed.ParseAccess(text); err == nil {
		for _, s := range spaces {
			if s.address == a.Address {
				return s, nil
			}
		}
		// 64 hex digits may as well be a discovery key.
	}
	var found []*space
	for _, s := range spaces {
		if text != "" && s.begins(text) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, useErrorf("no space %q is here: see space list", clip(text))
	case 1:
		return found[0], nil
	}
	var names []string
	for _, s := range found {
		names = append(names, s.entry.Name)
	}
	return nil, useErrorf("%q could be any of the spaces %s: say more of it", clip(text), strings.Join(names, ", "))
}

func (s *space) begins(text string) bool {
	lower := strings.ToLower(text)
	return strings.HasPrefix(s.entry.Name, text) ||
		strings.HasPrefix(s.address.String(), lower) ||
		strings.HasPrefix(s.address.Discovery().String(), lower)
}

// clip keeps what a person typed from filling the screen, or a mistyped secret
// from being shown whole.
func clip(text string) string {
	if len(text) > 24 {
		return text[:12] + "..."
	}
	return text
}

// findUsable is find for what needs the space open.
func (n *Node) findUsable(text string) (*space, error) {
	s, err := n.find(text)
	if err != nil {
		return nil, err
	}
	return s, s.usable()
}
