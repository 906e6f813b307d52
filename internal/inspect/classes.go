package inspect

import "threatmatch-connector/spool"

// ClassParked is used among the classes of dead letters for items that a later run
// tries again.
const ClassParked = "parked"

// WhatToDo says in one sentence what an operator can do about dead letters of the
// class from the stage.
func WhatToDo(stage, class string) string {
	if what := remedies[class]; what != "" {
		return what
	}
	if stage == string(spool.StageFetch) {
		return "ThreatMatch did not return it in any run: tell them; retry once it is fixed, drop it if it is gone for good"
	}
	return "look at it with spool show dead KEY; retry after a change or an upgrade, else drop it"
}

const (
	reportIt = "a fault of the connector: report it with what spool show dead KEY prints; retry after an upgrade"
	tellThem = "ThreatMatch must fix it: show them spool show dead KEY; retry then, or drop it"
)

// remedies says what to do about each class, whatever the stage. Those of fetch are
// kinds of responses, which share one remedy.
var remedies = map[string]string{
	ClassParked:     "nothing, each run tries it again; retry tries it now, drop lets last_run pass it",
	"body":          tellThem,
	"error_element": tellThem,
	"element":       tellThem,
	"incomplete":    tellThem,
	"invalid":       tellThem,
	"cycle":         tellThem,
	"panic":         reportIt,
	"internal":      reportIt,
	"crash":         "mapping it killed the process again and again, usually for lack of memory: give it more, then retry; else report it",
	"corrupt":       "the disk returned something else: check its health and run spool verify; retry fetches it again, IOCs need a repull",
	"unresolved":    "what it needs never arrived: retry it once OpenCTI has that, or drop it",
	"too_large":     "raise max_message_size on RabbitMQ, then: spool retry --all --class too_large",
	"dependency":    "it refers to another dead letter: retry both",
	"gap":           "ThreatMatch did not return this time span: once it does, run the repull that the letter names, then drop it",
	"rejected":      "follow OpenCTI's message; retry fetches the item again, for an IOC its page",
}
