package mapstage

// counterPrefix is the prefix of the map stage's counters of a run. What the mapper
// counts (see mapping.CountTable) has the same prefix and its own names.
const counterPrefix = "map."

// CounterName explains one counter of a run.
type CounterName struct {
	Name string
	Text string
}

// Counters lists the map stage's own counters of a run.
//
// Of the objects that come in, each ends in one place, so that over the life of
// a spool that was not reset
//
//	objects + taken_up + restricted_again
//	                   = merged + skipped_older + skipped_poorer + skipped_equal + older_conflict
//	                     + left_out + published + held + buried + those that wait
//	held + kept        = taken_up + superseded + expired_held + expired_kept + those held now
//
// where each whole copy that is kept beside its published object counts as held once.
func Counters() []CounterName {
	return []CounterName{
		{"records", "records mapped, also by dataset as records_<dataset>"},
		{"records_empty", "of these, without a single object"},
		{"objects", "objects that the mapper made from them"},
		{"merged", "copies merged with a better or equal one in the same bundle or among the waiting objects"},
		{"skipped_older", "copies older than what was handed over before"},
		{"skipped_poorer", "copies as new as what was handed over before, but with less content"},
		{"skipped_equal", "copies equal to what was handed over in this run or recently"},
		{"older_conflict", "older copies that contradict what was handed over before, of which nothing can be sent"},
		{"older_marking", "older copies that contradict what was handed over before, of which only the stricter marking was sent"},
		{"markings_lowered", "copies of a later run that the source itself marks less strictly than before"},
		{"left_out", "objects of which a filter takes out what they need in another answer, or the ceiling a copy"},
		{"restricted_again", "objects sent again, since a dead letter of them is marked more strictly"},
		{"restricted_late", "dead letters marked more strictly than what was handed over of the object before, which stays as it is"},
		{"published", "objects handed over to deliver"},
		{"published_again", "of these, whole copies of objects that had been sent without some references"},
		{"companions", "the default author and the standard markings in use that were handed over, by id"},
		{"waited", "objects that waited for a reference during the run"},
		{"held", "relationships, sightings and objects of an overtaken run held until what they need arrives"},
		{"kept", "whole copies kept of objects that were sent without some references"},
		{"taken_up", "held and kept copies taken up again because what they needed arrived"},
		{"superseded", "held and kept copies replaced by a newer one"},
		{"expired_held", "held objects that became dead letters of class unresolved"},
		{"expired_kept", "kept copies dropped because what they lack never arrived"},
		{"lookups", "ids asked of the platform"},
		{"lookups_found", "of these, found there"},
		{"lookups_capped", "ids not asked any more because the run had reached its limit"},
		{"cut_references", "references removed because the object is unknown, or to break a cycle"},
		{"cut_authors", "unknown or not yet published authors replaced by the default author"},
		{"cut_markings", "unknown markings removed; their objects count as TLP:RED"},
		{"cut_self", "references of objects to themselves removed"},
		{"cycles", "cycles of references broken"},
		{"buried", "mapped objects that became dead letters of this stage before they were sent"},
		{"dead", "dead letters of this stage, also by class as dead_<class>"},
	}
}
