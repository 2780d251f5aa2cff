package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// WriteBundle writes a bundle of the space to w. With a need it leaves out what
// the need's writer holds. It returns nil only when the bundle is whole.
func (c *Client) WriteBundle(ctx context.Context, space string, need io.Reader, w io.Writer) (b node.Bundled, err error) {
	return b, c.takeFile(ctx, "POST", space, "/bundle/write", need, w, &b)
}

// WriteNeed writes the need of the space to w.
func (c *Client) WriteNeed(ctx context.Context, space string, w io.Writer) (n node.Needed, err error) {
	return n, c.takeFile(ctx, "GET", space, "/bundle/need", nil, w, &n)
}

// ReadBundle takes a bundle from r into the space; see node.ReadBundle.
func (c *Client) ReadBundle(ctx context.Context, space string, r io.Reader) (b node.Bundled, err error) {
	path, err := spacePath(space, "/bundle/read")
	if err != nil {
		return b, err
	}
	req, err := fileRequest(ctx, "POST", path, nil, r)
	if err != nil {
		return b, err
	}
	return b, c.do(req, &b)
}

// fileRequest is a request whose body is a file, which the daemon may refuse
// before it is sent.
func fileRequest(ctx context.Context, method, path string, q url.Values, file io.Reader) (*http.Request, error) {
	if file == nil {
		return request(ctx, method, path, q, nil)
	}
	req, err := request(ctx, method, path, q, struct{ io.Reader }{file})
	if err == nil {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Expect", "100-continue")
	}
	return req, err
}

// takeFile writes a file that the daemon sends to w, and decodes what it says of
// it.
func (c *Client) takeFile(ctx context.Context, method, space, rest string, body io.Reader, w io.Writer, report any) error {
	path, err := spacePath(space, rest)
	if err != nil {
		return err
	}
	q := url.Values{}
	if body != nil {
		q.Set("since", "true")
	}
	req, err := fileRequest(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failed(resp)
	}
	n, err := io.CopyBuffer(w, resp.Body, make([]byte, streamBuffer))
	if err != nil {
		return fmt.Errorf("broken off after %d bytes: %w", n, err)
	}
	if resp.Trailer.Get(trailerOutcome) == "ok" {
		return json.Unmarshal([]byte(resp.Trailer.Get(trailerReport)), report)
	}
	var e Error
	if err := json.Unmarshal([]byte(resp.Trailer.Get(trailerError)), &e); err != nil {
		return fmt.Errorf("the daemon broke off after %d bytes without saying why", n)
	}
	return &e
}
