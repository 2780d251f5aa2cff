package hypercore

// place finds the block of pos.
func (r *Reader) place() error {
	seq := r.span.Start
	if r.pos > 0 {
		start, err := r.offset(r.span.Start)
		if err != nil {
			return err
		}
		seq, r.skip, err = r.find(start + uint64(r.pos))
		if err != nil {
			return err
		}
	}
	r.scan = &scan{feed: r.feed, seq: seq, end: r.span.End()}
	return nil
}

// find returns the block of an offset of the whole feed and where in it, or the
// end of the span if it lies beyond that.
func (r *Reader) find(offset uint64) (seq, within uint64, err error) {
	for {
		seq, within, length, err := r.data.find(r.ctx, offset)
		switch {
		case err == nil && seq < r.span.End():
			return seq, within, nil
		case err == nil || err == errBeyond && length >= r.span.End():
			return r.span.End(), 0, nil
		case err != errBeyond:
			return 0, 0, err
		}
		if err := r.feed.WaitLength(r.ctx, length+1); err != nil {
			return 0, 0, err
		}
	}
}

// offset returns where in the content of the whole feed the block begins.
func (r *Reader) offset(seq uint64) (uint64, error) {
	for {
		offset, err := r.data.before(r.ctx, seq)
		if err != errBeyond {
			return offset, err
		}
		if err := r.feed.WaitLength(r.ctx, seq); err != nil {
			return 0, err
		}
	}
}

// size returns the bytes of the span.
func (r *Reader) size() (int64, error) {
	end := r.span.End()
	if end >= Endless {
		end = max(r.feed.Length(), r.span.Start)
	}
	start, err := r.offset(r.span.Start)
	if err != nil {
		return 0, err
	}
	stop, err := r.offset(end)
	return int64(stop - start), err
}
