package opencti

// An Operation is a GraphQL document that the client may send. The client sends no other documents, whatever the
// platform's version, the settings or earlier answers.
type Operation struct {
	Name string // of the document, in errors and metrics, too
	// Documents are its forms: the first is valid on every platform from 6.7.5 on, the others only where the probe
	// found their fields.
	Documents []string
	// Reference says whether OpenCTI's own Python client sends the same field.
	Reference bool
	Source    string // where the platform's schema defines the field, and the capability that it requires
	Fallback  string // what happens if the platform or the user's rights do not allow it
}

const (
	connectorSchema = "modules/connector/connector.graphql"
	workSchema      = "opencti.graphql, type Work and WorkEditMutations"
	none            = "none: without it nothing can be delivered, the stage waits and says why"
)

// plainState and stampedState are the fields of a state without and with the time of its reset.
var plainState, stampedState = Capabilities{}.stateFields(), Capabilities{StateTimestamp: true}.stateFields()

// Operations returns the table of all documents.
func Operations() []Operation {
	return []Operation{
		{"Probe", []string{probeTypes}, false, "opencti.graphql, about and __type, which any user may read", none},
		{"ProbeMutations", []string{probeMutations}, false, "__type, which any user may read", none},
		{"Me", []string{meQuery}, false, "opencti.graphql, me", "`check` alone asks, and says that it could not"},
		{"ConnectorConfig", []string{connectorQuery}, false, connectorSchema + ", connector: MODULES", "`check` alone asks, and says that it could not"},
		{"RegisterConnector", []string{registerQuery(plainState, false), registerQuery(stampedState, false), registerQuery(plainState, true), registerQuery(stampedState, true)}, true, connectorSchema + ", registerConnector: CONNECTORAPI", none},
		{"PingConnector", []string{pingQuery(plainState), pingQuery(stampedState)}, true, connectorSchema + ", pingConnector: CONNECTORAPI", none},
		{"StoredState", []string{storedQuery(plainState), storedQuery(stampedState)}, false, connectorSchema + ", connector: MODULES",
			"a second connector under the id goes unnoticed, which is logged once"},
		{"ConnectorQueue", []string{queueQuery}, true, connectorSchema + ", connector_queue_details: MODULES",
			"connector.queue_threshold has no effect; the queue is watched at the broker"},
		{"WorkAdd", []string{addQuery, addMultiple}, true, workSchema + ", workAdd: CONNECTORAPI", none},
		{"AddExpectations", []string{expectQuery}, true, workSchema + ", addExpectations: CONNECTORAPI", none},
		{"ReportExpectation", []string{reportQuery}, true, workSchema + ", reportExpectation: CONNECTORAPI", none},
		{"WorkProcessed", []string{processedQuery}, true, workSchema + ", toProcessed: CONNECTORAPI", none},
		{"WorkDelete", []string{deleteQuery}, true, workSchema + ", delete: CONNECTORAPI", none},
		{"StixBundlePush", []string{pushQuery}, true, "opencti.graphql, stixBundlePush: CONNECTORAPI", "none: asked only under connector.queue_protocol api; amqp does not need it"},
		{"Work", []string{workQuery}, true, workSchema + ", work: MODULES", "the work counts as alive; what is of unknown fate is not told again"},
		{"WorkErrors", []string{errorsQuery}, true, workSchema + ", work and its errors: MODULES", "what the platform refuses is not read back, which is logged once"},
		{"WorkAlive", []string{aliveQuery}, true, workSchema + ", isWorkAlive, from 6.8.6 on: MODULES", "Work instead where it does not exist; else the work counts as alive"},
		{"Works", []string{worksQuery}, false, workSchema + ", works: MODULES", "a work of unknown fate is not found, and a new one is opened"},
		{"Known", []string{knownOne, knownTwo}, false, "opencti.graphql, stixObjectOrStixRelationship: KNOWLEDGE", "the ids count as unknown"},
	}
}
