package main

import (
	"context"
	"fmt"
	"os"
)

// server is a process that answers, and the line to it.
type server struct {
	*process
	remote remote
	line   *relay // nil: it is reached directly
}

// scene runs a contender that works with other processes, which answer from what
// was made for them, or each from a copy of it.
func (b *bench) scene(ctx context.Context, c contender, stock stock) (r result, err error) {
	var servers []*server
	defer func() {
		for _, s := range servers {
			if endErr := s.end(); err == nil {
				err = endErr
			}
		}
	}()
	for i := range max(c.Servers, 1) {
		dir, done, err := b.serverDir(c, stock, i)
		if err != nil {
			return r, err
		}
		defer done()
		s, err := b.serve(ctx, c, dir)
		if err != nil {
			return r, err
		}
		servers = append(servers, s)
	}
	t := c.Task
	if t.Dir, err = os.MkdirTemp(b.dir, "run"); err != nil {
		return r, err
	}
	defer os.RemoveAll(t.Dir)
	if c.Start != nil {
		if err := os.CopyFS(t.Dir, os.DirFS(stock[originOf(c.Peer, *c.Start)])); err != nil {
			return r, err
		}
	}
	beside := make([]*process, len(servers))
	for i, s := range servers {
		t.From, beside[i] = append(t.From, s.remote), s.process
	}
	settle()
	r, err = b.programs.run(ctx, c.Peer, t, beside...)
	if r.Payload == 0 {
		r.Payload = uint64(r.Count) * uint64(t.Size)
	}
	return r, err
}

// serverDir returns the folder of the i-th server and what is to be called when
// it has ended.
func (b *bench) serverDir(c contender, stock stock, i int) (dir string, done func(), err error) {
	made := ""
	if c.Make != nil {
		made = stock[originOf(c.Peer, *c.Make)]
		if i == 0 {
			return made, func() {}, nil
		}
	}
	if dir, err = os.MkdirTemp(b.dir, "serve"); err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	if made != "" {
		if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
			done()
			return "", nil, err
		}
	}
	return dir, done, nil
}

// serve starts a process that answers from the folder.
func (b *bench) serve(ctx context.Context, c contender, dir string) (*server, error) {
	t := *c.Serve
	t.Dir = dir
	p, err := b.programs.start(ctx, c.Peer, t)
	if err != nil {
		return nil, err
	}
	s := &server{process: p}
	if err := p.says(&s.remote); err != nil {
		return nil, p.end(fmt.Errorf("start: %w", err))
	}
	s.remote.Dir = dir
	if c.Limit > 0 {
		if s.line, err = newRelay(s.remote.Port, c.Limit); err != nil {
			return nil, p.end(err)
		}
		s.remote.Port = s.line.port()
	}
	return s, nil
}

// end ends the line and the process.
func (s *server) end() error {
	if s.line != nil {
		s.line.close()
	}
	return s.process.end(nil)
}
