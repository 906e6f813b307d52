package threatmatch

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

type tokens struct {
	mu    sync.Mutex
	valid map[string]time.Time // token → expiry
}

func (t *tokens) issue(expiry time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	token := rand.Text()
	t.valid[token] = expiry
	return token
}

func (t *tokens) ok(token string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	expiry, known := t.valid[token]
	if known && !now.Before(expiry) {
		delete(t.valid, token)
		return false
	}
	return known
}

func (t *tokens) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.valid)
}

// token is POST /api/developers-platform/token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.fail(w, r, http.StatusMethodNotAllowed, "The "+r.Method+" method is not supported for this route.", nil)
		return
	}
	var body struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind != "application/json" || json.NewDecoder(r.Body).Decode(&body) != nil || body.ID == "" || body.Secret == "" {
		s.fail(w, r, http.StatusUnprocessableEntity, "The given data was invalid.",
			map[string][]string{"client_id": {"The client id field is required."}})
		return
	}
	if body.ID != s.opt.ClientID || body.Secret != s.opt.ClientSecret {
		s.fail(w, r, s.opt.WrongSecretStatus, "Client authentication failed", nil)
		return
	}
	expiry := s.Now().Add(s.opt.TokenLifetime)
	answer := map[string]any{"access_token": s.tokens.issue(expiry), "token_type": "Bearer"}
	switch s.opt.Expiry {
	case Epoch:
		answer["expires_at"] = expiry.Unix()
	case Duration:
		answer["expires_at"] = int64(s.opt.TokenLifetime / time.Second)
	case Absent:
	}
	s.json(w, answer)
}

// authorised lets only GETs with a valid token through.
func (s *Server) authorised(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			s.fail(w, r, http.StatusMethodNotAllowed, "The "+r.Method+" method is not supported for this route.", nil)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok && s.tokens.ok(token, s.Now()) {
			if !s.refuseForeign(w, r) {
				next(w, r)
			}
			return
		}
		if !wantsJSON(r) {
			// The framework sends browsers to the sign-in page.
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		s.fail(w, r, http.StatusUnauthorized, "Unauthenticated.", nil)
	}
}
