package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/discovery"
)

// restore reads the space at a node that knows its secret and the bootstrap's
// address, and unpacks it.
func (d *demo) restore(ctx context.Context) (n int64, detail string, err error) {
	if d.reader, err = d.start(ctx, "reader", d.bootstrap); err != nil {
		return 0, "", err
	}
	if _, err := d.reader.client.Join(ctx, d.space.Secret, d.space.Name); err != nil {
		return 0, "", err
	}
	if err := d.readBack(ctx); err != nil {
		return 0, "", err
	}
	err = d.foundBy(ctx)
	return d.storedBytes(), "a reader with the secret reached the seeder: " + foundText(d.report.FoundBy), err
}

// readBack unpacks what the reader reads, and compares.
func (d *demo) readBack(ctx context.Context) error {
	target := filepath.Join(d.base, "restored")
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return err
	}
	defer root.Close()
	in, out := io.Pipe()
	read := make(chan error, 1)
	go func() {
		r := api.ReadRequest{Space: d.space.Name, ReadOptions: node.ReadOptions{Timeout: stall}}
		_, err := d.reader.client.Read(ctx, r, out)
		out.CloseWithError(err)
		read <- err
	}()
	modes, err := unpack(in, root, d.progress.add)
	in.CloseWithError(errors.New("unpacking ended"))
	if reading := <-read; reading != nil && (err == nil || errors.Is(err, reading)) {
		return d.explain(ctx, d.reader, reading)
	}
	if err != nil {
		return err
	}
	return d.compare(root, modes)
}

// explain adds what the status of a daemon tells to an error.
func (d *demo) explain(ctx context.Context, p *daemon, err error) error {
	s, failed := p.client.Status(ctx)
	if failed != nil {
		return err
	}
	return fmt.Errorf("%w; %s", err, why(s))
}

func (d *demo) compare(root *os.Root, modes map[string]os.FileMode) error {
	items, err := finish(root, modes)
	if err != nil {
		return fmt.Errorf("read back what was restored: %w", err)
	}
	d.report.Restored = Digest(items)
	if d.report.Restored != d.report.Stored {
		return errors.New("what was restored differs: " + strings.Join(difference(d.source.items, items, maxDifferences), "; "))
	}
	return nil
}

// foundBy notes how the reader found the seeder, which must be its only peer.
func (d *demo) foundBy(ctx context.Context) error {
	s, err := d.reader.client.Status(ctx)
	if err != nil {
		return err
	}
	for _, o := range s.Spaces {
		if !slices.Equal(o.Peers, []string{d.seeder.peerID}) {
			return fmt.Errorf("the reader's peers are %v instead of the seeder alone", o.Peers)
		}
		for _, t := range o.Tries {
			if t.PeerID == d.seeder.peerID {
				d.report.FoundBy = t.Source
			}
		}
	}
	return nil
}

// foundText says in words how a peer was found.
func foundText(source string) string {
	switch source {
	case string(discovery.SourceDHT):
		return "the DHT named it for the space"
	case "shared", "":
		return "a neighbour in the DHT, which proved to share the space"
	}
	return "found by " + source
}
