package hypercore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

type updated struct {
	length uint64
	err    error
	done   bool
}

func update(ctx context.Context, f *hypercore.Feed) *updated {
	u := &updated{}
	go func() {
		u.length, u.err = f.Update(ctx)
		u.done = true
	}()
	synctest.Wait()
	return u
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		writer, _ := written(t, 10)
		reader, _ := reading(t)
		if u := update(ctx, reader); !u.done || !errors.Is(u.err, hypercore.ErrNoPeer) {
			t.Errorf("Update without peers = %+v, want ErrNoPeer", u)
		}
		w := newWorld(t, 1)
		x, _ := w.link("wr", writer, reader)
		u := update(ctx, reader)
		drive(w)
		if !u.done || u.err != nil || u.length != 10 {
			t.Errorf("Update of a new feed = %+v, want 10", u)
		}
		u = update(ctx, reader)
		if u.done {
			t.Error("Update asked nobody")
		}
		drive(w)
		if !u.done || u.err != nil || u.length != 10 {
			t.Errorf("Update without growth = %+v, want 10", u)
		}
		w.settle(0)
		mustAppend(t, writer, blocksOf(10, 5)...)
		u = update(ctx, reader)
		drive(w)
		if !u.done || u.err != nil || u.length != 15 {
			t.Errorf("Update after growth = %+v, want 15", u)
		}
		u = update(ctx, reader)
		w.cut(x)
		synctest.Wait()
		if !u.done || !errors.Is(u.err, hypercore.ErrNoPeer) {
			t.Errorf("Update whose peer left = %+v, want ErrNoPeer", u)
		}
		w.link("wr", writer, reader)
		u = update(ctx, reader)
		reader.Close()
		synctest.Wait()
		if !u.done || !errors.Is(u.err, hypercore.ErrClosed) {
			t.Errorf("Update at Close = %+v, want ErrClosed", u)
		}
	})
}

// A silent peer doesn't take the answer of another away, and without any answer
// the ctx ends the waiting with its error.
func TestUpdateBesideASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 10)
		reader, _ := reading(t)
		w := newWorld(t, 1)
		mute, _ := w.link("mute", writer, reader)
		mute.mute = true
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		u := update(ctx, reader)
		drive(w)
		time.Sleep(time.Second)
		synctest.Wait()
		if !u.done || !errors.Is(u.err, context.DeadlineExceeded) {
			t.Errorf("Update of a silent peer = %+v, want DeadlineExceeded", u)
		}
		w.link("wr", writer, reader)
		u = update(context.Background(), reader)
		drive(w)
		if !u.done || u.err != nil || u.length != 10 {
			t.Errorf("Update with growth = %+v, want 10", u)
		}
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		u = update(ctx, reader)
		drive(w)
		time.Sleep(time.Second)
		synctest.Wait()
		if !u.done || u.err != nil || u.length != 10 {
			t.Errorf("Update without growth = %+v, want 10", u)
		}
	})
}

// A peer that claims more than it can prove doesn't hold Update up for ever.
func TestUpdateBesideALiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 10)
		w := newWorld(t, 1)
		reader, _ := reading(t)
		w.link("wr", writer, reader)
		w.settle(0)
		var p *hypercore.Peer
		p, err := reader.Attach(hypercore.PeerOptions{Wake: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		now := w.now
		say := func(m hypercore.Message) {
			if err := p.Handle(m, now); err != nil {
				t.Fatal(err)
			}
		}
		say(&hypercore.Have{Start: 10, Length: 90})
		u := update(context.Background(), reader)
		for range 60 {
			for {
				m, err := p.Next(now)
				if err != nil {
					t.Fatal(err)
				}
				if m == nil {
					break
				}
				if want, ok := m.(*hypercore.Want); ok {
					say(&hypercore.Have{Start: want.Start, Length: want.Length, Bitfield: []byte{}})
				}
			}
			drive(w)
			now = now.Add(time.Second)
			w.now = now
		}
		if !u.done || u.err != nil || u.length != 10 {
			t.Errorf("Update = %+v, want 10", u)
		}
	})
}
