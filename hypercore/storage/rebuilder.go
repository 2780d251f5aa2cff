package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// rebuilder makes a new index. Feeds are taken one by one by as many goroutines as
// there are cores, so the memory needed is that for a few of them.
type rebuilder struct {
	fs   vfs.FS
	data string // folder of the data files
	log  *slog.Logger

	salvage *salvage
	work    *scratch // has the salvage
	out     *scratch // becomes the index
	files   map[uint64]*idFiles
	nextID  uint64
	whole   bool // all of the old index was read

	mu     sync.Mutex // guards all below
	losses losses
	report Rebuild
}

// idFiles is the data files that are named after one id.
type idFiles struct {
	key     hypercore.Key
	keyed   bool // key is known, from the header of a file
	taken   bool // by a feed
	numbers []uint64
}

// maxFileNumber bounds the ids and numbers in names of data files that are taken
// for our own.
const maxFileNumber = 1 << 62

// feedJob is a feed to rebuild.
type feedJob struct {
	key hypercore.Key
	id  uint64
}

func (x *rebuilder) lossy() bool { return !x.whole }

// run makes the new index, which is not durable yet.
func (x *rebuilder) run() error {
	if err := x.listFiles(); err != nil {
		return err
	}
	jobs, err := x.feeds()
	if err != nil {
		return err
	}
	if err := x.runAll(jobs); err != nil {
		return err
	}
	batch := x.out.db.NewBatch()
	defer batch.Close()
	if err := x.records(batch); err != nil {
		return err
	}
	if err := x.stray(batch); err != nil {
		return err
	}
	return x.finish(batch)
}

// listFiles finds the data files.
func (x *rebuilder) listFiles() error {
	x.files = make(map[uint64]*idFiles)
	names, err := x.fs.List(x.data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		id, number, ok := parseSegmentName(x.fs.PathBase(name))
		if !ok || id >= maxFileNumber || number >= maxFileNumber {
			continue
		}
		f := x.files[id]
		if f == nil {
			f = new(idFiles)
			x.files[id] = f
		}
		f.numbers = append(f.numbers, number)
		x.nextID = max(x.nextID, id+1)
		if f.keyed {
			continue
		}
		file, err := x.fs.Open(x.fs.PathJoin(x.data, x.fs.PathBase(name)))
		if err != nil {
			if isOurs(err) {
				return err
			}
			continue
		}
		owner, n, key, err := segmentOwner(file)
		if isOurs(err) {
			return errors.Join(err, file.Close())
		}
		file.Close()
		if err == nil && owner == id && n == number {
			f.key, f.keyed = key, true
		}
	}
	return nil
}

// feeds returns every feed that the old index or a data file names, once, and an
// id that is its own.
func (x *rebuilder) feeds() (jobs []feedJob, err error) {
	r, err := x.salvage.reader()
	if err != nil {
		return nil, err
	}
	defer r.close()
	x.nextID = max(x.nextID, x.salvage.nextID)
	used := make(map[uint64]bool)
	removed := make(map[hypercore.Key]bool)
	known := make(map[hypercore.Key]bool)
	err = r.table(tableFeed, func(key, value []byte) bool {
		if len(key) != 1+hypercore.KeySize {
			return true
		}
		k := hypercore.Key(key[1:])
		if value == nil {
			removed[k] = true
			return true
		}
		rec, err := parseHead(value)
		if err != nil || k.Check() != nil {
			x.lose("head record of feed %s", k.Discovery())
			return true
		}
		if f := x.files[rec.id]; used[rec.id] || f != nil && f.keyed && f.key != k {
			x.lose("data of feed %s lies under the id of another", k.Discovery())
			rec.id, x.nextID = x.nextID, x.nextID+1
		}
		used[rec.id], known[k] = true, true
		jobs = append(jobs, feedJob{k, rec.id})
		return true
	})
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(x.files))
	for _, id := range slices.Backward(ids) { // a younger id is that of the younger data
		f := x.files[id]
		if f.keyed && !used[id] && !known[f.key] && !removed[f.key] && f.key.Check() == nil {
			used[id], known[f.key] = true, true
			jobs = append(jobs, feedJob{f.key, id})
		}
		f.taken = used[id]
	}
	return jobs, nil
}

// runAll rebuilds the feeds.
func (x *rebuilder) runAll(jobs []feedJob) error {
	todo := make(chan feedJob)
	errs := make(chan error, runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for range cap(errs) {
		wg.Go(func() {
			err := x.worker(todo, stop)
			if err != nil {
				once.Do(func() { close(stop) })
			}
			errs <- err
		})
	}
feed:
	for _, job := range jobs {
		select {
		case todo <- job:
		case <-stop:
			break feed
		}
	}
	close(todo)
	wg.Wait()
	var all error
	for range cap(errs) {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (x *rebuilder) worker(todo <-chan feedJob, stop <-chan struct{}) error {
	r, err := x.salvage.reader()
	if err != nil {
		return err
	}
	defer r.close()
	for {
		select {
		case <-stop:
			return nil
		case job, ok := <-todo:
			if !ok {
				return nil
			}
			if err := x.feed(job, r); err != nil {
				return err
			}
		}
	}
}

func (x *rebuilder) feed(job feedJob, r *salvageReader) error {
	f := feedRebuild{x: x, key: job.key, id: job.id, r: r, files: newDataFiles(x.fs, x.data, job.id)}
	defer f.files.close()
	var numbers []uint64
	if files := x.files[job.id]; files != nil {
		numbers = files.numbers
		slices.Sort(numbers)
	}
	done, err := f.run(numbers)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Feeds++
	x.report.Blocks += done.Blocks
	x.report.Bytes += done.Bytes
	x.report.Lost += done.Lost
	if done.damaged() {
		x.report.DamagedFeeds++
		if len(x.report.Damaged) < MaxRebuiltFeeds {
			x.report.Damaged = append(x.report.Damaged, done)
		}
	}
	return nil
}

// records copies the newest version of the records that are not of feeds. Those
// that say that a copy is old, which are there already, are not overwritten.
func (x *rebuilder) records(batch *pebble.Batch) error {
	r, err := x.salvage.reader()
	if err != nil {
		return err
	}
	defer r.close()
	var failed error
	err = r.table(tableRecord, func(key, value []byte) bool {
		if value == nil || len(key) < 2 || len(value) > MaxRecordValue {
			return true
		}
		x.report.Records++
		if failed = batch.Set(key, value, nil); failed == nil {
			failed = x.out.room(batch)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// stray gives a record to each data file that no feed has, so that it is not
// taken for what a failure left.
func (x *rebuilder) stray(batch *pebble.Batch) error {
	for id, f := range x.files {
		if f.taken {
			continue
		}
		for _, number := range f.numbers {
			info, err := x.fs.Stat(x.fs.PathJoin(x.data, segmentName(id, number)))
			if err != nil {
				return err
			}
			x.report.Stray++
			x.report.StrayBytes += uint64(info.Size())
			rec := segmentRecord{end: max(uint64(info.Size()), segmentBytes)}
			if err := batch.Set(segmentKey(id, number), rec.append(nil), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish writes what makes it an index.
func (x *rebuilder) finish(batch *pebble.Batch) error {
	x.report.When = time.Now().UTC().Truncate(time.Second)
	x.report.Complete, x.report.Losses = x.whole && x.losses.count == 0, x.losses.notes
	slices.SortFunc(x.report.Damaged, func(a, b RebuiltFeed) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	report, err := json.Marshal(&x.report)
	if err != nil {
		return err
	}
	for _, kv := range [...][2][]byte{
		{formatKey, binary.AppendUvarint(nil, formatVersion)},
		{nextKey, binary.BigEndian.AppendUint64(nil, x.nextID)},
		{rebuiltKey, report},
	} {
		if err := batch.Set(kv[0], kv[1], nil); err != nil {
			return err
		}
	}
	return x.out.apply(batch)
}
