package serve

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStopAndStart shows that a stopped server refuses, cuts what is in flight,
// and comes back at the same address.
func TestStopAndStart(t *testing.T) {
	entered := make(chan struct{}, 1)
	s := New("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
	}))
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Errorf("second start: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(path string) error {
		resp, err := client.Get(s.URL() + path)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := get("/"); err != nil {
		t.Fatal(err)
	}
	address, flight := s.Addr(), make(chan error)
	go func() { flight <- get("/wait") }()
	<-entered
	s.Stop()
	s.Stop()
	if err := <-flight; err == nil {
		t.Error("a request in flight was answered")
	}
	if err := get("/"); err == nil {
		t.Error("a stopped server answers")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := get("/"); err != nil || s.Addr() != address {
		t.Errorf("after the restart at %s, was %s: %v", s.Addr(), address, err)
	}
	other := New(address, nil)
	if err := other.Start(); err == nil {
		t.Error("two servers listen on one address")
	}
}
