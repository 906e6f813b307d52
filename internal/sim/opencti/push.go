package opencti

import (
	"encoding/json"
	"fmt"

	"threatmatch-connector/internal/sim/splitter"
)

// push is stixBundlePush: the bundle is queued for workers as it is, or, by newer
// platforms, taken apart and announced.
func (s *Server) push(user *User, args map[string]any) (any, error) {
	connectorID, _ := args["connectorId"].(string)
	text, _ := args["bundle"].(string)
	workID, _ := args["work_id"].(string)
	if err := s.pushed(user, connectorID, workID, text); err != nil {
		// The platform says no more, whatever the reason.
		s.opt.Log.Info("bundle not taken", "error", err)
		return nil, &failure{Code: "UNSUPPORTED_ERROR", Message: "Invalid bundle"}
	}
	return true, nil
}

// message is what the platform queues for workers.
type message struct {
	Type      string `json:"type"`
	Applicant string `json:"applicant_id"`
	Content   []byte `json:"content"` // in base64
	WorkID    string `json:"work_id"`
	Update    bool   `json:"update"`
	NoSplit   bool   `json:"no_split,omitempty"`
}

func (s *Server) pushed(user *User, connectorID, workID, text string) error {
	var bundle struct {
		Type    string            `json:"type"`
		ID      string            `json:"id"`
		Objects []json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal([]byte(text), &bundle); err != nil {
		return err
	}
	if bundle.Type != "bundle" || len(bundle.Objects) == 0 {
		return fmt.Errorf("type %q, %d objects", bundle.Type, len(bundle.Objects))
	}
	parts := [][]byte{[]byte(text)}
	if s.profile.SplitsPushed {
		split, err := splitter.Split([]byte(text))
		if err == nil && len(split) < len(bundle.Objects) {
			s.violation("push", fmt.Sprintf("of a bundle of %d objects %d are sent", len(bundle.Objects), len(split)))
		}
		if err == nil {
			parts = split // else as it is, for a worker to fail on
		}
	}
	workID, err := s.workOfPush(user, connectorID, workID, len(bundle.Objects), len(parts))
	if err != nil {
		return err
	}
	bodies := make([][]byte, len(parts))
	for i, part := range parts {
		bodies[i], err = json.Marshal(message{"bundle", user.ID, part, workID, true, s.profile.SplitsPushed})
		if err != nil {
			return err
		}
	}
	return s.broker.queue(connectorID, bodies)
}

// workOfPush is the work that the bundle belongs to: the connector's or, for none, a
// new one. What the platform itself announces it announces before it queues.
func (s *Server) workOfPush(user *User, connectorID, workID string, objects, parts int) (string, error) {
	s.mu.Lock()
	_, known := s.connectors[connectorID]
	s.mu.Unlock()
	if !known {
		return "", fmt.Errorf("no connector %q", connectorID)
	}
	announced := 0
	if s.profile.SplitsPushed {
		announced = parts
	}
	if workID == "" {
		o, err := s.addWork(user, map[string]any{"connectorId": connectorID, "friendlyName": "run @ " + s.Now().Format(stamp)})
		if err != nil {
			return "", err
		}
		workID, _ = o.(object)["id"].(string)
		if objects == 1 {
			announced = 1
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.works[workID]; w != nil {
		w.pushed = true
		if !w.processedAt.IsZero() {
			s.addViolation("push", "a bundle came for "+workID+" after toProcessed")
		}
	}
	if announced > 0 {
		s.expect(workID, announced)
	}
	return workID, nil
}
