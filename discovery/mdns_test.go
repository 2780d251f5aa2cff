package discovery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The test of mDNS runs this binary again, in network namespaces of their own.
// lanRole says which part a child plays.
const (
	lanRole   = "COBOX_TEST_LAN_ROLE"
	lanMaster = "master" // makes the network, and is the first node
	lanSecond = "second" // is the other node, in a namespace of its own
	lanNoIPv6 = "noipv6" // is a master whose IPv6 is switched off
	lanNone   = "none"   // no network at all
)

// needNamespaces skips the test where namespaces can't be made; where tests are
// to be complete it fails.
func needNamespaces(t *testing.T) {
	t.Helper()
	_, noIP := exec.LookPath("ip")
	_, noUnshare := exec.LookPath("unshare")
	err := errors.Join(noIP, noUnshare)
	if err == nil {
		err = exec.Command("unshare", "-n", "ip", "link", "set", "lo", "up").Run()
	}
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("this test needs root and iproute2: %v", err)
	default:
		t.Skipf("this test needs root and iproute2: %v", err)
	}
}

// child prepares this binary to run a part in a new network namespace.
func child(ctx context.Context, role string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unshare", "-n", os.Args[0], "-test.run=^TestLANRole$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), lanRole+"="+role)
	return cmd
}

func TestMDNS(t *testing.T) {
	needNamespaces(t)
	for _, role := range []string{lanMaster, lanNoIPv6, lanNone} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			if out, err := child(patience(t), role).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestLANRole is the part of a child; it does nothing when run by itself.
func TestLANRole(t *testing.T) {
	switch os.Getenv(lanRole) {
	case lanMaster:
		playMaster(t)
	case lanSecond:
		playSecond(t)
	case lanNoIPv6:
		write(t, "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")
		write(t, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
		playMaster(t)
	case lanNone:
		run(t, "ip link set lo up")
		playWithoutMulticast(t)
	default:
		t.Skip("a part of TestMDNS")
	}
}

// playMaster joins two namespaces by a pair of interfaces and finds the node in
// the other one, and is found; then it moves and is found again.
func playMaster(t *testing.T) {
	second := child(patience(t), lanSecond)
	second.Stderr = os.Stderr
	in, err := second.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := second.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	say(t, lines, "namespace") // it has left this namespace
	run(t, "ip link add veth0 type veth peer name veth1")
	run(t, fmt.Sprintf("ip link set veth1 netns %d", second.Process.Pid))
	fmt.Fprintln(in, "interface")
	raise(t, "veth0", "10.77.0.1/24")
	run(t, "ip addr add 10.77.0.3/24 dev veth0")

	h, r, caught := lanNode(t, 1, "/ip4/10.77.0.1/tcp/0")
	c := expect(t, caught, keyedID(2))
	if c.Source != SourceMDNS || len(c.Addrs) == 0 {
		t.Errorf("candidate = %+v", c)
	}
	if err := h.Connect(patience(t), c.AddrInfo); err != nil {
		t.Errorf("connect to what was found: %v", err)
	}
	if s := r.Status(); s.LAN != 1 || s.MDNS.Err != nil || s.MDNS.Done.IsZero() {
		t.Errorf("status = %+v", s)
	}
	say(t, lines, "found")
	if err := h.Network().Listen(addr("/ip4/10.77.0.3/tcp/0")); err != nil {
		t.Fatal(err)
	}
	say(t, lines, "found again")
	in.Close()
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("the other node: %v", err)
	}
}

func playSecond(t *testing.T) {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("namespace")
	if !in.Scan() {
		t.Fatal("no interface was given")
	}
	raise(t, "veth1", "10.77.0.2/24")
	_, _, caught := lanNode(t, 2, "/ip4/10.77.0.2/tcp/0")
	expect(t, caught, keyedID(1))
	fmt.Println("found")
	for {
		c := expect(t, caught, keyedID(1))
		if strings.Contains(fmt.Sprint(c.Addrs), "/ip4/10.77.0.3/") {
			break
		}
	}
	fmt.Println("found again")
	in.Scan() // until the other node is done
}

// playWithoutMulticast shows that a node which can't use mDNS says so and ends.
func playWithoutMulticast(t *testing.T) {
	tried := make(chan string, 16)
	_, r, _ := lanNode(t, 1, "/ip4/127.0.0.1/tcp/0", WithLogger(slog.New(warnings(tried))))
	for range 2 { // and again, for the network may come
		select {
		case <-tried:
		case <-patience(t).Done():
			t.Fatal("mDNS wasn't tried")
		}
	}
	s := r.Status()
	if !errors.Is(s.MDNS.Err, ErrNoMulticast) || s.MDNS.Failures != 2 {
		t.Errorf("status = %+v", s.MDNS)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// warnings gets what the operator is told; it drops what nobody takes.
type warnings chan string

func (w warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w warnings) WithGroup(string) slog.Handler                { return w }
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	select {
	case w <- r.Message:
	default:
	}
	return nil
}

func lanNode(t *testing.T, n int, listen string, opts ...Option) (host.Host, *Rendezvous, <-chan Candidate) {
	t.Helper()
	h := newHostAt(t, listen, libp2p.Identity(testPrivateKey(n)))
	found, caught := catcher()
	r := newRendezvous(t, h, append(opts, WithMDNS(), WithFound(found),
		func(c *config) error { c.settle = 10 * time.Millisecond; return nil })...)
	return h, r, caught
}

func say(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if lines.Text() == want {
			return
		}
	}
	t.Fatalf("the other node ended before %q", want)
}

func run(t *testing.T, command string) {
	t.Helper()
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// raise gives an interface an address, makes it the way for multicast, and
// does without the second that IPv6 takes to see that its address is unused.
func raise(t *testing.T, name, address string) {
	t.Helper()
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/" + name); err == nil {
		write(t, "/proc/sys/net/ipv6/conf/"+name+"/accept_dad", "0")
	}
	run(t, "ip link set lo up")
	run(t, "ip addr add "+address+" dev "+name)
	run(t, "ip link set "+name+" up")
	run(t, "ip route add default dev "+name)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLANIsBounded floods a node with peers that aren't there.
func TestLANIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b basket
		r := newFake(t, newFakeHost(), WithFound(b.put))
		l := newLAN(r)
		l.job = newJob(laneNode, nil)
		l.HandlePeerFound(peer.AddrInfo{ID: testID(0)}) // itself
		l.HandlePeerFound(peer.AddrInfo{})
		if got := b.take(); len(got) != 0 {
			t.Errorf("handed out %v", got)
		}
		for n := 1; n <= lanBurst+10; n++ {
			l.HandlePeerFound(testPeer(n))
		}
		if got := b.take(); len(got) != lanBurst || got[0].Source != SourceMDNS {
			t.Errorf("%d peers handed out at once, want %d", len(got), lanBurst)
		}
		for n := 1; n <= MaxLAN+10; n++ {
			time.Sleep(lanInterval)
			l.HandlePeerFound(testPeer(n))
		}
		if got := len(b.take()); got != MaxLAN+10 {
			t.Errorf("%d peers handed out at a steady pace", got)
		}
		if _, n := l.status(time.Now()); n != MaxLAN {
			t.Errorf("%d peers remembered, want %d", n, MaxLAN)
		}
		if _, ok := l.seen[testID(1)]; ok {
			t.Error("the oldest wasn't forgotten")
		}
		if _, n := l.status(time.Now().Add(2 * LANMemory)); n != 0 {
			t.Errorf("%d peers remembered too long", n)
		}
		l.stop()
		time.Sleep(lanInterval)
		l.HandlePeerFound(testPeer(1))
		if len(b.take()) != 0 {
			t.Error("handed out after the end")
		}
	})
}
