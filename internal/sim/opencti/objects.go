package opencti

import (
	"strings"
	"time"
)

const stamp = "2006-01-02T15:04:05.000Z"

func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(stamp)
}

// connectorObject is a connector as GraphQL sees it. The lock is held.
func (s *Server) connectorObject(c *connector) object {
	now := s.now()
	o := object{
		"__typename": "Connector", "id": c.id, "standard_id": "connector--" + c.id, "entity_type": "Connector", "parent_types": []string{"Basic-Object", "Internal-Object"},
		"name": c.name, "title": c.name, "active": now.Sub(c.updated) < 5*time.Minute,
		"auto": c.flags["auto"], "auto_update": c.flags["auto_update"], "enrichment_resolution": c.flags["enrichment_resolution"],
		"only_contextual": c.flags["only_contextual"], "playbook_compatible": c.flags["playbook_compatible"],
		"connector_type": c.kind, "connector_scope": strings.Split(strings.Join(c.scope, ","), ","),
		"connector_state_reset": c.reset, "connector_state_timestamp": when(c.stateTime),
		"connector_user_id": c.userID, "connector_user": s.userObject(c.userID), "connector_priority_group": "DEFAULT",
		"updated_at": when(c.updated), "created_at": when(c.created), "is_managed": false, "built_in": false,
		"jwks": `{"keys":[]}`, "version": c.flags["version"], "slug": c.flags["slug"], "last_seen_at": when(c.updated),
		"config": s.configObject(c),
	}
	if c.state != nil {
		o["connector_state"] = *c.state
	}
	if info, ok := c.info.(map[string]any); ok {
		o["connector_info"] = mergeType("ConnectorInfo", info)
	}
	id := c.id
	o["connector_queue_details"] = fieldFunc(func(map[string]any) (any, error) { return s.queueDetails(id), nil })
	o["works"] = fieldFunc(func(args map[string]any) (any, error) {
		status, _ := args["status"].(string)
		s.mu.Lock()
		defer s.mu.Unlock()
		list := []object{}
		for _, w := range s.newestWorks() {
			if w.connector == id && (status == "" || w.status == status) {
				list = append(list, s.workObject(w))
			}
		}
		return list, nil
	})
	return o
}

func mergeType(name string, fields map[string]any) object {
	o := object{"__typename": name}
	for k, v := range fields {
		o[k] = v
	}
	return o
}

func (s *Server) configObject(c *connector) object {
	n, told := s.broker.names(c.id), s.broker.connection()
	return object{
		"__typename": "ConnectorConfig",
		"connection": object{
			"__typename": "RabbitMQConnection", "host": told.Host, "vhost": told.VHost, "use_ssl": told.UseSSL,
			"port": told.Port, "user": told.User, "pass": told.Password,
		},
		"s3": object{
			"__typename": "S3Connection", "endpoint": "minio", "port": 9000, "use_ssl": false, "bucket_name": "opencti-bucket",
			"bucket_region": "us-east-1", "access_key": "sim", "secret_key": "sim",
		},
		"listen": n.listen, "listen_routing": n.listenRouting, "listen_exchange": s.broker.connectorExchange(),
		"listen_callback_uri": c.flags["listen_callback_uri"],
		"push":                n.push, "push_routing": n.pushRouting, "push_exchange": s.broker.workerExchange(),
		"dead_letter_routing": s.broker.names("too-large-bundle").listenRouting,
	}
}

func (s *Server) userObject(id string) any {
	for _, u := range s.users {
		if u.ID == id {
			return object{"__typename": "User", "id": u.ID, "standard_id": "user--" + u.ID, "name": u.Name, "user_email": u.Name + "@example.org",
				"api_token": nil, "api_tokens": []object{{"__typename": "ApiToken", "id": u.ID, "name": "default"}}}
		}
	}
	return nil
}

// queueDetails asks the broker. The lock is not held.
func (s *Server) queueDetails(id string) object {
	s.mu.Lock()
	set := s.queueSize
	s.mu.Unlock()
	size := QueueSize{}
	if set != nil {
		size = *set
	} else {
		n := float64(s.queued(s.broker.names(id).push))
		size = QueueSize{Messages: n, Bytes: n * s.opt.MessageSize}
	}
	return object{"__typename": "ConnectorQueueDetails", "messages_number": size.Messages, "messages_size": size.Bytes}
}

// queued are the messages of a queue, those included that workers hold.
func (s *Server) queued(queue string) int {
	s.mu.Lock()
	unacked := s.unacked
	s.mu.Unlock()
	n := s.broker.depth(queue)
	if unacked != nil {
		n += unacked(queue)
	}
	return n
}

// workObject is a work as GraphQL sees it. The lock is held.
func (s *Server) workObject(w *work) object {
	o := object{
		"__typename": "Work", "id": w.id, "name": w.name, "timestamp": when(w.timestamp), "status": w.status,
		"received_time": when(w.received), "processed_time": when(w.processedAt), "completed_time": when(w.completedAt),
		"completed_number": w.completed, "messages": w.messages.objects(), "errors": w.errors.objects(),
		"draft_context": w.draft, "is_multipart": w.multipart,
		"user": object{"__typename": "Creator", "id": w.userID, "name": w.userID},
	}
	// The tracking is the key's: nothing when that is gone.
	tracking := object{"__typename": "WorkTracking"}
	if w.key != nil {
		tracking["import_expected_number"], tracking["import_processed_number"] = w.key.expected, w.key.processed
		tracking["import_last_processed"] = when(w.key.last)
	}
	o["tracking"] = tracking
	if c, ok := s.connectors[w.connector]; ok {
		o["connector"] = fieldFunc(func(map[string]any) (any, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.connectorObject(c), nil
		})
	}
	return o
}
