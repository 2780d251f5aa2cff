package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// maxAnswer is more bytes than a JSON answer has: a status names every feed.
const maxAnswer = 1 << 30

// Client talks to the daemon of a data folder. Its methods return an error that
// wraps ErrNoDaemon when none runs, *Error when the daemon refused or failed, or
// what the connection said.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient returns the client of the daemon in dir, running or not.
func NewClient(dir string) *Client {
	t := &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
		DisableCompression:    true,
		ExpectContinueTimeout: time.Hour, // the daemon always answers, after it found the space
		WriteBufferSize:       256 << 10,
		ReadBufferSize:        256 << 10,
	}
	return &Client{dir, &http.Client{Transport: t}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the daemon's status.
func (c *Client) Status(ctx context.Context) (s node.Status, err error) {
	return s, c.call(ctx, "GET", "/v1/status", nil, nil, &s)
}

// Peers returns the peers with a session.
func (c *Client) Peers(ctx context.Context) (p []node.Peer, err error) {
	return p, c.call(ctx, "GET", "/v1/peers", nil, nil, &p)
}

// Connect dials a peer.
func (c *Client) Connect(ctx context.Context, address string) (d node.Connected, err error) {
	return d, c.call(ctx, "POST", "/v1/connect", nil, ConnectRequest{address}, &d)
}

// Spaces lists the spaces.
func (c *Client) Spaces(ctx context.Context) (s []node.SpaceInfo, err error) {
	return s, c.call(ctx, "GET", "/v1/spaces", nil, nil, &s)
}

// Create makes a space; see node.Create.
func (c *Client) Create(ctx context.Context, name string, open bool) (s node.SpaceInfo, err error) {
	return s, c.call(ctx, "POST", "/v1/spaces", nil, SpaceRequest{Name: name, Open: open}, &s)
}

// Join joins a space as a member; see node.Join.
func (c *Client) Join(ctx context.Context, text, name string) (s node.SpaceInfo, err error) {
	return s, c.call(ctx, "POST", "/v1/spaces/join", nil, SpaceRequest{Text: text, Name: name}, &s)
}

// Seed seeds a space; see node.Seed.
func (c *Client) Seed(ctx context.Context, text, name string) (s node.SpaceInfo, err error) {
	return s, c.call(ctx, "POST", "/v1/spaces/seed", nil, SpaceRequest{Text: text, Name: name}, &s)
}

// Show returns one space, with its secret when that is asked for.
func (c *Client) Show(ctx context.Context, space string, secret bool) (s node.SpaceInfo, err error) {
	path, err := spacePath(space, "")
	if err != nil {
		return s, err
	}
	return s, c.call(ctx, "GET", path, url.Values{"secret": {strconv.FormatBool(secret)}}, nil, &s)
}

// Leave leaves a space; see node.Leave.
func (c *Client) Leave(ctx context.Context, space string, keep, force bool) (l node.Left, err error) {
	path, err := spacePath(space, "")
	if err != nil {
		return l, err
	}
	q := url.Values{"keep": {strconv.FormatBool(keep)}, "force": {strconv.FormatBool(force)}}
	return l, c.call(ctx, "DELETE", path, q, nil, &l)
}

// Sync waits until a space is synced; see node.Sync.
func (c *Client) Sync(ctx context.Context, space string, timeout time.Duration, offline bool) (s node.Synced, err error) {
	path, err := spacePath(space, "/sync")
	if err != nil {
		return s, err
	}
	return s, c.call(ctx, "POST", path, nil, SyncRequest{TimeoutMS: milliseconds(timeout), Offline: offline}, &s)
}

// Verify checks everything stored, and repairs it if that is asked for; see
// node.Verify.
func (c *Client) Verify(ctx context.Context, o node.VerifyOptions) (v node.Verified, err error) {
	return v, c.call(ctx, "POST", "/v1/verify", nil, VerifyRequest{o.Space, o.Repair, milliseconds(o.Timeout)}, &v)
}

// Append appends what r yields; see node.Append.
func (c *Client) Append(ctx context.Context, space, writer string, blockSize int, r io.Reader) (a node.Appended, err error) {
	path, err := spacePath(space, "/append")
	if err != nil {
		return a, err
	}
	q := url.Values{"writer": {writer}, "blockSize": {strconv.Itoa(blockSize)}}
	req, err := request(ctx, "POST", path, q, struct{ io.Reader }{r})
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Expect", "100-continue")
	return a, c.do(req, &a)
}

// Read writes the bytes of a feed to w and returns how many. It returns nil only
// when all were written.
func (c *Client) Read(ctx context.Context, r ReadRequest, w io.Writer) (int64, error) {
	path, err := spacePath(r.Space, "/read")
	if err != nil {
		return 0, err
	}
	q := url.Values{
		"feed": {r.Feed}, "follow": {strconv.FormatBool(r.Follow)}, "offline": {strconv.FormatBool(r.Offline)},
		"timeoutMs": {strconv.FormatInt(milliseconds(r.Timeout), 10)},
	}
	req, err := request(ctx, "GET", path, q, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, failed(resp)
	}
	n, err := io.CopyBuffer(w, resp.Body, make([]byte, streamBuffer))
	if err != nil {
		return n, fmt.Errorf("read broke off after %d bytes: %w", n, err)
	}
	if resp.Trailer.Get(trailerOutcome) == "ok" {
		return n, nil
	}
	var e Error
	if err := json.Unmarshal([]byte(resp.Trailer.Get(trailerError)), &e); err != nil {
		return n, fmt.Errorf("the daemon broke off after %d bytes without saying why", n)
	}
	return n, &e
}

// milliseconds rounds up, so that a short time is not none.
func milliseconds(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

// spacePath returns the path of a space as a person names it.
func spacePath(space, rest string) (string, error) {
	if space == "" || space == "." || space == ".." {
		return "", &Error{Code: CodeUse, Message: fmt.Sprintf("%q names no space", space)}
	}
	return "/v1/spaces/" + url.PathEscape(space) + rest, nil
}

func request(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Request, error) {
	target := "http://cobox" + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	return http.NewRequestWithContext(ctx, method, target, body)
}

// call sends a JSON request and reads the answer.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := request(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	return c.do(req, out)
}

func (c *Client) do(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failed(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("the daemon's answer broke off: %w", err)
	}
	return nil
}

// plain drops the made-up URL that http.Client puts into its errors.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// failed returns the *Error of an answer.
func failed(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&f); err != nil || f.Error == nil {
		return fmt.Errorf("the daemon answered %s: is it another version?", resp.Status)
	}
	return f.Error
}
