package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestRelay moves bytes through a relay: all of them come, not sooner than its
// rate allows, and the other way is free.
func TestRelay(t *testing.T) {
	const size, rate = 256 << 10, 1 << 20
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	r, err := newRelay(far.Addr().(*net.TCPAddr).Port, rate)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	sent := bytes.Repeat([]byte("relay"), size/5)
	got := make(chan []byte, 1)
	go func() {
		c, err := far.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer c.Close()
		buf := make([]byte, len(sent))
		io.ReadFull(c, buf)
		c.Write(sent)
		got <- buf
	}()
	near, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	begun := time.Now()
	if _, err := near.Write(sent); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(near)
	took := time.Since(begun)
	if err != nil || !bytes.Equal(back, sent) {
		t.Errorf("%d bytes came back, want %d, %v", len(back), len(sent), err)
	}
	if there := <-got; !bytes.Equal(there, sent) {
		t.Errorf("%d bytes went there, want %d", len(there), len(sent))
	}
	if least := time.Duration(len(sent))*time.Second/rate - relayBurst; took < least {
		t.Errorf("%d bytes took %v, want %v at least", len(sent), took, least)
	}
}
