package spool

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Power may fail at any moment: whatever subset of the writes that were not synced reaches the disk, sector by
// sector, the file opens, nothing is broken, and every step that was reported done is there.
//
// A child works under strace. Its writes, truncates, renames and syncs are played back, and at every sync that has
// begun and not ended the directory is rebuilt with random subsets of what is not synced. The work is a spool from
// its creation through two runs; a compaction; and a damaged file that is set aside, with the creation of the next
// one and a salvage.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	p := newPlayback(t)
	if p == nil {
		return
	}
	p.l = &ledger{t: t, dir: p.rest, items: 18, will: map[int]int{}, did: map[int]int{}, pubs: map[int]int{}}
	p.check = func() {
		p.l.check()
		p.reopen("crash", func(*Spool) {})
	}
	p.play(childEnv+"="+childWork, runsEnv+"=2", itemsEnv+"=18")
	t.Logf("%d syncs, %d images, %d items", p.syncs, len(p.seen), len(p.l.did))
	if len(p.l.did) == 0 {
		t.Error("nothing was done")
	}
}

func TestPowerLossWhileCompacting(t *testing.T) {
	t.Parallel()
	p := newPlayback(t)
	if p == nil {
		return
	}
	grown(t, p.dir)
	p.check = func() {
		p.reopen("c", func(s *Spool) {
			recs := must(s.Records(1, 0, 10, 1<<40))
			if got := must(s.Meta()).Platform; p.said && string(got) != "after" {
				t.Errorf("what was committed after the compaction is gone: %q", got)
			}
			if len(recs) != 2 || string(recs[0].Body) != string(bodyOf(29*38)) || string(recs[1].Body) != string(bodyOf(29*39)) || len(allDead(t, s)) != 1 {
				t.Errorf("%d records are left, want two with their bytes, and a dead letter", len(recs))
			}
		})
	}
	p.play(childEnv + "=" + childCompact)
	t.Logf("%d syncs, %d images", p.syncs, len(p.seen))
}

func TestPowerLossWhileSettingAside(t *testing.T) {
	t.Parallel()
	file, want := undelivered(t, 3)
	p := newPlayback(t)
	if p == nil {
		return
	}
	path := filepath.Join(p.dir, fileName)
	ok(t, os.WriteFile(path, file, 0o600))
	db := must(bolt.Open(path, 0o600, nil)) // without a bucket it is set aside, and costs no row
	ok(t, db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bktGone)) }))
	ok(t, db.Close())
	p.check = func() {
		p.reopen("c", func(s *Spool) {
			aside := must(s.Meta()).SetAside
			if aside == "" {
				t.Error("no file was set aside")
				return
			}
			aside = filepath.Join(p.rest, filepath.Base(aside)) // its directory was another one when it was noted
			got := must(s.Salvage(t.Context(), aside, t0, SalvageOptions{}))
			if got.Unread > 0 {
				t.Errorf("it could not read %v", got.Names)
			}
			compareBack(t, broughtBack(t, s), want)
		})
	}
	p.play(childEnv + "=" + childSalvage)
	t.Logf("%d syncs, %d images", p.syncs, len(p.seen))
}

// housekeepingChild compacts the spool in the directory; or it opens the spool, which sets the file aside, and brings
// back what was in that.
func housekeepingChild(compact bool) int {
	ctx, dir := context.Background(), os.Args[1]
	err := func() error {
		if compact {
			s, err := Open(ctx, Options{Dir: dir, ConnectorID: "c", MaxSize: 16 << 20, slack: 16 << 20, noReserve: true, compactMin: 64 << 10})
			if err != nil {
				return err
			}
			err = s.SavePlatform(1, []byte("after"))
			_, _ = os.Stdout.WriteString("did\n")
			return errors.Join(err, s.Close())
		}
		s, err := Open(ctx, Options{Dir: dir, ConnectorID: "c", MaxSize: 16 << 20, slack: 16 << 20, noReserve: true, NoCompact: true})
		if err != nil {
			return err
		}
		m, err := s.Meta()
		if err == nil {
			_, err = s.Salvage(ctx, m.SetAside, t0, SalvageOptions{})
		}
		return errors.Join(err, s.Close())
	}()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// record runs a child under strace and returns the lines of the trace.
func record(t *testing.T, dir string, env []string) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-xx", "-s", "4000000", "-o", out,
		"-e", "trace=openat,close,write,pwrite64,ftruncate,fsync,fdatasync,renameat,rename,renameat2,unlinkat",
		must(os.Executable()), dir)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	f := must(os.Open(out))
	defer func() { _ = f.Close() }()
	var lines []string
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return lines
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// vfile is a file as it is on disk, and what was done to it since.
type vfile struct {
	durable []byte
	pending []vop
}

// vop is one change: data at an offset, or a new length.
type vop struct {
	off  int64
	data []byte
	cut  bool
}

func (o vop) apply(b []byte) []byte {
	end := o.off + int64(len(o.data))
	if o.cut {
		b = b[:min(int64(len(b)), o.off)]
		end = o.off
	}
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[min(o.off, int64(len(b))):], o.data)
	return b
}

// dirOp gives a file a name, removes one, or both.
type dirOp struct {
	to, from string
	file     *vfile
}

type playback struct {
	t      *testing.T
	r      *rand.Rand
	l      *ledger // of what the child said; may be nil
	check  func()  // checks an image
	dir    string  // as in the trace
	rest   string  // where images are rebuilt
	fds    map[int]*vfile
	dirs   map[int]bool
	names  map[string]*vfile
	durNow map[string]*vfile // names that are durable
	queue  []dirOp           // and changes that are not
	offset map[int]int64
	syncs  int
	said   bool            // the child has said something
	seen   map[uint64]bool // images
	seed   maphash.Seed    // for seen
}

// newPlayback makes a directory to work in. Without strace it returns nil.
func newPlayback(t *testing.T) *playback {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("SPOOL_POWER_LOSS") != "" {
			t.Fatal("this test needs strace; on Debian: apt-get install strace")
		}
		t.Log("strace is not installed, so power loss is not shown here")
		return nil
	}
	return &playback{
		t: t, r: rand.New(rand.NewPCG(7, 7)), dir: t.TempDir(), rest: fastDir(t), fds: map[int]*vfile{}, dirs: map[int]bool{},
		names: map[string]*vfile{}, durNow: map[string]*vfile{}, offset: map[int]int64{}, seen: map[uint64]bool{}, seed: maphash.MakeSeed(),
	}
}

// play lets a child work, and checks what each sync could find on the disk.
func (p *playback) play(env ...string) {
	for _, e := range must(os.ReadDir(p.dir)) {
		f := &vfile{durable: must(os.ReadFile(filepath.Join(p.dir, e.Name())))}
		p.names[e.Name()], p.durNow[e.Name()] = f, f
	}
	open := map[string]string{} // what a thread has begun
	for _, line := range record(p.t, p.dir, env) {
		pid, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if cut, begun := strings.CutSuffix(rest, " <unfinished ...>"); begun {
			open[pid] = cut
			continue
		}
		if i := strings.Index(rest, " resumed>"); strings.HasPrefix(rest, "<... ") && i > 0 {
			rest = open[pid] + rest[i+len(" resumed>"):]
		}
		c, ok := parseCall(rest)
		if !ok {
			continue
		}
		if c.name == "fsync" || c.name == "fdatasync" {
			p.crash()
			p.syncs++
		}
		p.do(c)
	}
	p.crash() // at the end
}

// call is one successful system call.
type call struct {
	name string
	args []string
	ret  int
}

func parseCall(s string) (call, bool) {
	open, end := strings.IndexByte(s, '('), strings.LastIndex(s, ") ")
	eq := strings.LastIndex(s, "= ")
	if open < 0 || end < open || eq < end {
		return call{}, false
	}
	ret, err := strconv.Atoi(strings.Fields(s[eq+2:])[0])
	if err != nil || ret < 0 {
		return call{}, false
	}
	return call{s[:open], strings.Split(s[open+1:end], ", "), ret}, true // data are hex, so no comma is inside
}

func (c call) num(i int) int {
	n, _ := strconv.Atoi(c.args[i])
	return n
}

func (c call) text(i int) string {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(c.args[i], `"`), `\x`, ""))
	if err != nil {
		return "?"
	}
	return string(b)
}

// name returns the file's name inside the spool's directory, if it is there.
func (p *playback) name(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, p.dir+"/")
	return rest, ok
}

func (p *playback) do(c call) {
	switch c.name {
	case "openat":
		p.open(c)
	case "close":
		delete(p.fds, c.num(0))
		delete(p.dirs, c.num(0))
	case "write":
		if p.said = p.said || c.num(0) == 1; c.num(0) == 1 && p.l != nil {
			p.l.read(strings.NewReader(c.text(1)), func(string) {})
		} else if f := p.fds[c.num(0)]; f != nil {
			f.pending = append(f.pending, vop{off: p.offset[c.num(0)], data: []byte(c.text(1))})
			p.offset[c.num(0)] += int64(c.ret)
		}
	case "pwrite64":
		if f := p.fds[c.num(0)]; f != nil {
			f.pending = append(f.pending, vop{off: int64(c.num(3)), data: []byte(c.text(1))})
		}
	case "ftruncate":
		if f := p.fds[c.num(0)]; f != nil {
			f.pending = append(f.pending, vop{off: int64(c.num(1)), cut: true})
		}
	case "fsync", "fdatasync":
		if f := p.fds[c.num(0)]; f != nil {
			for _, o := range f.pending {
				f.durable = o.apply(f.durable)
			}
			f.pending = nil
		}
		if p.dirs[c.num(0)] {
			p.durNow, p.queue = p.named(1), nil
		}
	case "renameat", "renameat2":
		p.rename(c.text(1), c.text(3))
	case "rename":
		p.rename(c.text(0), c.text(1))
	case "unlinkat":
		if name, ok := p.name(c.text(1)); ok {
			delete(p.names, name)
			p.queue = append(p.queue, dirOp{from: name})
		}
	}
}

func (p *playback) open(c call) {
	path := c.text(1)
	name, inside := p.name(path)
	if path == p.dir {
		p.dirs[c.ret] = true
	}
	if !inside {
		return
	}
	f := p.names[name]
	if f == nil {
		f = &vfile{}
		p.names[name] = f
		p.queue = append(p.queue, dirOp{to: name, file: f})
	}
	p.fds[c.ret], p.offset[c.ret] = f, 0
}

func (p *playback) rename(from, to string) {
	a, ok1 := p.name(from)
	b, ok2 := p.name(to)
	if !ok1 || !ok2 {
		return
	}
	p.names[b] = p.names[a]
	delete(p.names, a)
	p.queue = append(p.queue, dirOp{b, a, p.names[b]})
}

// named returns the directory after some of the changes that are not durable, in any order: each is included with the
// probability keep.
func (p *playback) named(keep float64) map[string]*vfile {
	out := maps.Clone(p.durNow)
	for _, op := range p.queue {
		if p.r.Float64() >= keep {
			continue
		}
		if delete(out, op.from); op.to != "" {
			out[op.to] = op.file
		}
	}
	return out
}

// sectors splits a write into what a disk writes at once.
func sectors(o vop) []vop {
	if o.cut {
		return []vop{o}
	}
	var out []vop
	off := o.off
	for part := range slices.Chunk(o.data, 512) {
		out = append(out, vop{off: off, data: part})
		off += int64(len(part))
	}
	return out
}

// crash rebuilds the directory in a few of the ways in which it may be found, and checks each.
func (p *playback) crash() {
	ways := []float64{0, 0.5, 0.9, 1}
	if len(p.queue) > 0 { // which names are there matters most
		ways = append(ways, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
	}
	for _, keep := range ways {
		files, names := map[string][]byte{}, p.named(keep)
		for _, name := range slices.Sorted(maps.Keys(names)) { // in order: r is the same each time
			f := names[name]
			b := slices.Clone(f.durable)
			for _, o := range f.pending {
				for _, part := range sectors(o) {
					if p.r.Float64() < keep {
						b = part.apply(b)
					}
				}
			}
			files[name] = b
		}
		if p.seenBefore(files) {
			continue
		}
		for _, e := range must(os.ReadDir(p.rest)) {
			ok(p.t, os.Remove(filepath.Join(p.rest, e.Name())))
		}
		for name, b := range files {
			ok(p.t, os.WriteFile(filepath.Join(p.rest, name), b, 0o600))
		}
		if p.check(); p.t.Failed() {
			p.t.Fatalf("at sync %d with %.0f %% of what was not synced", p.syncs, keep*100)
		}
	}
}

// seenBefore reports whether this image was checked already, when as much was done.
func (p *playback) seenBefore(files map[string][]byte) bool {
	var image maphash.Hash
	image.SetSeed(p.seed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintln(&image, name, len(files[name]))
		_, _ = image.Write(files[name])
	}
	if p.l != nil {
		_, _ = fmt.Fprintln(&image, p.l.will, p.l.did, p.l.pubs)
	}
	was := p.seen[image.Sum64()]
	p.seen[image.Sum64()] = true
	return was
}

// reopen starts on the image as a daemon would.
func (p *playback) reopen(connector string, look func(*Spool)) {
	p.t.Helper()
	s := must(Open(p.t.Context(), Options{Dir: p.rest, ConnectorID: connector, MaxSize: 16 << 20, slack: 16 << 20, noReserve: true, NoCompact: true}))
	look(s)
	closeVerified(p.t, s)
}
