package opencti

import (
	"slices"
	"strings"
)

// queries and mutations are the root fields.
func (s *Server) queries(user *User) object {
	return object{
		"about": object{"__typename": "AppInfo", "version": s.profile.Version},
		"me":    fieldFunc(func(map[string]any) (any, error) { return s.me(user), nil }),
		"connector": fieldFunc(func(args map[string]any) (any, error) {
			id, _ := args["id"].(string)
			s.mu.Lock()
			defer s.mu.Unlock()
			if c, ok := s.connectors[id]; ok {
				return s.connectorObject(c), nil
			}
			return nil, nil
		}),
		"connectors":          fieldFunc(s.allConnectors),
		"connectorsForWorker": fieldFunc(s.allConnectors),
		"work": fieldFunc(func(args map[string]any) (any, error) {
			id, _ := args["id"].(string)
			s.mu.Lock()
			defer s.mu.Unlock()
			if w, ok := s.works[id]; ok {
				return s.workObject(w), nil
			}
			return nil, nil
		}),
		"isWorkAlive": fieldFunc(func(args map[string]any) (any, error) {
			id, _ := args["id"].(string)
			return s.WorkAlive(id), nil
		}),
		"works":                        fieldFunc(s.findWorks),
		"stixObjectOrStixRelationship": fieldFunc(s.find),
	}
}

func (s *Server) mutations(user *User) object {
	return object{
		"registerConnector":   fieldFunc(func(args map[string]any) (any, error) { return s.register(user, args) }),
		"pingConnector":       fieldFunc(s.ping),
		"resetStateConnector": fieldFunc(s.resetState),
		"deleteConnector": fieldFunc(func(args map[string]any) (any, error) {
			id, _ := args["id"].(string)
			s.violation("destructive", "deleteConnector was called for "+id)
			if err := s.Forget(id); err != nil {
				return nil, s.brokerError(err)
			}
			return id, nil
		}),
		"workAdd":  fieldFunc(func(args map[string]any) (any, error) { return s.addWork(user, args) }),
		"workEdit": fieldFunc(s.editWork),
		"workDelete": fieldFunc(func(args map[string]any) (any, error) {
			id, _ := args["connectorId"].(string)
			s.violation("destructive", "workDelete was called for all works of "+id)
			return true, nil
		}),
		"stixBundlePush": fieldFunc(func(args map[string]any) (any, error) { return s.push(user, args) }),
	}
}

func (s *Server) allConnectors(map[string]any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []object{}
	for _, c := range s.connectors {
		list = append(list, s.connectorObject(c))
	}
	return list, nil
}

func (s *Server) me(user *User) any {
	caps := []object{}
	for _, name := range user.Capabilities {
		caps = append(caps, object{"__typename": "Capability", "id": name, "name": name})
	}
	return object{
		"__typename": "MeUser", "id": user.ID, "name": user.Name, "user_email": user.Name + "@example.org", "capabilities": caps,
		"allowed_marking": []object{},
	}
}

// worksFilters are the keys by which works can be filtered.
var worksFilters = []string{"connector_id", "status", "name", "user_id", "event_type", "timestamp", "completed_number", "completed_time", "received_time", "processed_time"}

func (s *Server) findWorks(args map[string]any) (any, error) {
	match, err := filter(args["filters"])
	if err != nil {
		return nil, err
	}
	search, _ := args["search"].(string)
	first := number(args["first"])
	if first <= 0 {
		first = 500
	}
	after, _ := args["after"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.newestWorks()
	if args["orderMode"] == "asc" {
		slices.Reverse(list)
	}
	list = slices.DeleteFunc(list, func(w *work) bool { return !match(w) || !strings.Contains(w.name, search) })
	total := len(list)
	if i := slices.IndexFunc(list, func(w *work) bool { return w.id == after }); after != "" && i >= 0 {
		list = list[i+1:]
	}
	more := len(list) > first
	list = list[:min(first, len(list))]
	edges := []object{}
	for _, w := range list {
		edges = append(edges, object{"__typename": "WorkEdge", "cursor": w.id, "node": s.workObject(w)})
	}
	end, begin := "", ""
	if len(list) > 0 {
		begin, end = list[0].id, list[len(list)-1].id
	}
	return object{
		"__typename": "WorkConnection", "edges": edges,
		"pageInfo": object{"__typename": "PageInfo", "startCursor": begin, "endCursor": end, "hasNextPage": more, "hasPreviousPage": after != "", "globalCount": total},
	}, nil
}

// filter reads a FilterGroup: "eq" on the keys that works have.
func filter(v any) (func(*work) bool, error) {
	group, ok := v.(map[string]any)
	if !ok {
		return func(*work) bool { return true }, nil
	}
	type rule struct {
		key    string
		values []string
		not    bool
	}
	var rules []rule
	for _, f := range anyList(group["filters"]) {
		one, _ := f.(map[string]any)
		for _, k := range anyList(one["key"]) {
			r := rule{not: one["operator"] == "not_eq"}
			r.key, _ = k.(string)
			if !slices.Contains(worksFilters, r.key) {
				return nil, &failure{Code: "UNSUPPORTED_ERROR", Message: "incorrect filter keys not existing in any schema definition: " + r.key}
			}
			for _, value := range anyList(one["values"]) {
				text, _ := value.(string)
				r.values = append(r.values, text)
			}
			rules = append(rules, r)
		}
	}
	or := group["mode"] == "or"
	return func(w *work) bool {
		have := map[string]string{"connector_id": w.connector, "status": w.status, "name": w.name, "user_id": w.userID, "event_type": "EXTERNAL_IMPORT"}
		for _, r := range rules {
			if hit := slices.Contains(r.values, have[r.key]) != r.not; hit == or {
				return or
			}
		}
		return !or || len(rules) == 0
	}, nil
}

// find looks an id up in what the platform holds.
func (s *Server) find(args map[string]any) (any, error) {
	id, _ := args["id"].(string)
	s.mu.Lock()
	f := s.knowledge
	s.mu.Unlock()
	if f == nil {
		return nil, nil
	}
	stixType, ok := f(id)
	if !ok {
		return nil, nil
	}
	o := object{"id": id, "standard_id": id, "entity_type": stixType, "parent_types": []string{"Basic-Object", "Stix-Object"}}
	switch name, known := entities[stixType]; {
	case known:
		o["__typename"], o["entity_type"] = name, name
	case stixType == "relationship":
		o["__typename"], o["entity_type"] = "StixCoreRelationship", "stix-core-relationship"
	case stixType == "sighting":
		o["__typename"], o["entity_type"] = "StixSightingRelationship", "stix-sighting-relationship"
	case stixType == "marking-definition":
		o["__typename"], o["entity_type"] = "MarkingDefinition", "Marking-Definition"
	default:
		o["__typename"] = entities[""]
	}
	return o, nil
}
