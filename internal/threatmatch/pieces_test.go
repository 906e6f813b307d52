package threatmatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// objectsOf returns the objects of a piece.
func objectsOf(t *testing.T, body []byte) []string {
	t.Helper()
	var p struct{ Objects []json.RawMessage }
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("piece of %d bytes: %v", len(body), err)
	}
	var out []string
	for _, o := range p.Objects {
		out = append(out, string(o))
	}
	return out
}

// TestPieces: cut or not, the pieces have all objects, in order, and no piece is too large unless it has a single
// object.
func TestPieces(t *testing.T) {
	many := func(n, size int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf(`{"id":"a--%d","x":"%s"}`, i, strings.Repeat("x", size))
		}
		return out
	}
	const marking = `{"type":"marking-definition","id":"marking-definition--1"}`
	inBundles := `{"type":"bundle","objects":[{"type":"bundle","objects":[` + strings.Join(many(6000, 1), ",") + `]}]}`
	for _, tt := range []struct {
		name    string
		objects []string
		want    []string // objects that come out, if they differ from those that go in
		more    string   // another member of the answer
		pieces  int
	}{
		{"none", nil, nil, "", 1},
		{"none, and much else", nil, nil, `,"x":"` + strings.Repeat("x", pieceBytes) + `"`, 1},
		{"one", many(1, 1), nil, "", 1},
		{"as many as one piece has", many(pieceObjects, 1), nil, "", 1},
		{"one more", many(pieceObjects+1, 1), nil, "", 2},
		{"large ones", many(10, 1<<20), nil, "", 4},
		{"one too large among small ones", append(many(3, pieceBytes+1)[:1], many(3, 1)...), nil, "", 2},
		{"in bundles", []string{inBundles}, many(6000, 1), "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == nil {
				tt.want = tt.objects
			}
			b := Body{Bytes: []byte(`{"objects":[` + strings.Join(tt.objects, ", ") + `]` + tt.more + `}`)}
			var got []string
			pieces := 0
			for p, last := b.Pieces(), false; !last; pieces++ {
				var body []byte
				body, last = p.Next()
				objects := objectsOf(t, body)
				if len(body) > pieceBytes+3 && len(objects) > 1 || len(objects) > pieceObjects {
					t.Errorf("a piece has %d bytes and %d objects", len(body), len(objects))
				}
				got = append(got, objects...)
			}
			if strings.Join(got, ",") != strings.Join(tt.want, ",") {
				t.Errorf("got %d objects, want the %d that went in, in order", len(got), len(tt.want))
			}
			if pieces != tt.pieces {
				t.Errorf("got %d pieces, want %d", pieces, tt.pieces)
			}
		})
	}
	t.Run("a single object is not copied", func(t *testing.T) {
		for more, want := range map[int]bool{0: true, pieceBytes / 2: true, pieceBytes + 1: false} {
			b := Body{Bytes: []byte(`{"objects":[{"objects":[` + many(1, pieceBytes+1)[0] + `],"type":"bundle"}],"x":"` + strings.Repeat("x", more) + `"}`)}
			if body, last := b.Pieces().Next(); !last || (&body[0] == &b.Bytes[0]) != want {
				t.Errorf("beside %d bytes: last %v, the answer itself %v, want %v", more, last, !want, want)
			}
		}
	})
	t.Run("each piece knows the markings", func(t *testing.T) {
		b := Body{Bytes: []byte(`{"objects":[` + strings.Join(append(many(12_000, 1), marking), ",") + `]}`)}
		n := 0
		for p, last := b.Pieces(), false; !last; n++ {
			var body []byte
			if body, last = p.Next(); !bytes.Contains(body, []byte(marking)) {
				t.Errorf("piece %d does not know the marking", n)
			}
		}
		if n != 3 {
			t.Errorf("got %d pieces, want 3", n)
		}
	})
	t.Run("a page is cut to what is fresh", func(t *testing.T) {
		objects := many(9, 1)
		page := Page{Body: Body{Bytes: []byte(`{"objects":[` + strings.Join(objects, ",") + `]}`)}}
		body, last := page.Pieces(func(i int) bool { return i%4 == 1 }).Next()
		if got := objectsOf(t, body); !last || strings.Join(got, ",") != objects[1]+","+objects[5] {
			t.Errorf("got %v, last %v, want the second and the sixth", got, last)
		}
	})
}

// TestLargeAnswersLeaveNothing: large answers go through a file that nobody else can see, and what a dead process
// left is removed.
func TestLargeAnswersLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	c := &Client{opt: testOptions("http://threatmatch.example")}
	c.opt.Dir = dir
	text := bytes.Repeat([]byte("0123456789"), 1<<20)
	body, err := c.store(bytes.NewReader(text), 64<<20)
	if err != nil || !bytes.Equal(body.Bytes, text) {
		t.Fatalf("got %d bytes and error %v, want the %d that came", len(body.Bytes), err, len(text))
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left %v in the directory", files)
	}
	body.Release()
	body.Release()
	if body, err := c.store(bytes.NewReader(text), 5<<20); err != nil || len(body.Bytes) != 5<<20 {
		t.Errorf("got %d bytes and error %v, want no more than were asked for", len(body.Bytes), err)
	} else {
		body.Release()
	}
	left := dir + "/" + strings.Replace(bodyFiles, "*", "7", 1)
	other := dir + "/spool.db"
	for _, name := range []string{left, other} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveBodies(dir); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 || files[0].Name() != "spool.db" {
		t.Errorf("got %v, want the spool alone", files)
	}
}

// TestNoRoomForLargeAnswers: without room on disk an answer is kept in memory.
func TestNoRoomForLargeAnswers(t *testing.T) {
	var w fileWriter
	f, err := os.Open(os.DevNull) // accepts no writes
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.f = f
	if _, err := w.Write([]byte("abc")); err == nil || w.err == nil || w.rest.String() != "abc" {
		t.Errorf("got error %v and %q left, want the text left", err, w.rest.String())
	}
	c := &Client{opt: testOptions("http://threatmatch.example")}
	c.opt.complete()
	c.opt.Dir = t.TempDir() + "/away"
	body, err := c.store(strings.NewReader("abc"), 10)
	if err != nil || string(body.Bytes) != "abc" {
		t.Errorf("got %q and error %v, want it in memory", body.Bytes, err)
	}
	if _, err := c.store(failing{syscall.ECONNRESET}, 10); err == nil {
		t.Error("a reset is no error")
	}
}
