package hypercore_test

import (
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// Who hears that blocks are wanted looks for what is missing: the wish must be there
// by then.
func TestWantedIsToldWhenTheWishIsThere(t *testing.T) {
	writer, _ := written(t, 3)
	f := mustOpen(t, storage.NewMemory(), pairOf(1), false)
	give(t, writer, f, 0)
	f.SetSparse(true)
	lacks := make(chan bool, 1)
	stop := f.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Wanted {
			lacks <- f.Lacks()
		}
	})
	defer stop()
	for name, wish := range map[string]func(){
		"Get": func() {
			go f.Get(t.Context(), 1)
		},
		"Download": func() {
			t.Cleanup(f.Download(hypercore.Span{Start: 2, Count: 1}, hypercore.DownloadOptions{}).Cancel)
		},
	} {
		wish()
		if !<-lacks {
			t.Errorf("%s: nothing is lacking when Wanted is told", name)
		}
	}
}
