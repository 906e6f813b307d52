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
//	objects + taken_up = merged + skipped_older + skipped_poorer + skipped_equal + older_conflict
//	                     + published + held + buried + those that wait
//	held + kept        = taken_up + superseded + expired_held + expired_kept + those held now
//
// where each whole copy that is kept beside its published object counts as held once.
func Counters() []CounterName {
	return []CounterName{
		{"records", "records mapped, also by dataset as records_<dataset>"},
		{"records_empty", "of these, without a single object"},
		{"objects", "objects that the mapper made of them"},
		{"merged", "copies that met a better or equal one of the same bundle or among the waiting"},
		{"skipped_older", "copies older than what was handed over before"},
		{"skipped_poorer", "copies as new as what was handed over before, but with less in them"},
		{"skipped_equal", "copies equal to what was handed over in this run or lately"},
		{"older_conflict", "older copies at odds with what was handed over before, of which nothing can be sent"},
		{"older_marking", "older copies at odds with what was handed over before, of which only the stricter marking went out"},
		{"markings_lowered", "copies of a later run that the source itself marks less strictly than before"},
		{"published", "objects handed over to deliver"},
		{"published_again", "of these, whole copies of objects that had gone out without some references"},
		{"companions", "the default author and the standard markings in use that were handed over, by id"},
		{"waited", "objects that waited for a reference during the run"},
		{"held", "relationships, sightings and objects of an overtaken run held until what they need comes"},
		{"kept", "whole copies kept of objects that went out without some references"},
		{"taken_up", "held and kept copies taken up again, since what they needed came"},
		{"superseded", "held and kept copies in whose place a newer one came"},
		{"expired_held", "held objects that became dead letters of class unresolved"},
		{"expired_kept", "kept copies dropped, since what they lack never came"},
		{"lookups", "ids asked of the platform"},
		{"lookups_found", "of these, found there"},
		{"lookups_capped", "ids not asked any more, since the run had asked enough"},
		{"cut_references", "references removed since nobody knows the object, or to break a cycle"},
		{"cut_authors", "unknown or not yet published authors replaced by the default author"},
		{"cut_markings", "unknown markings removed; their objects count as TLP:RED"},
		{"cut_self", "references of objects to themselves removed"},
		{"cycles", "cycles of references broken"},
		{"buried", "objects that the mapper made and that became dead letters of this stage before they went out"},
		{"dead", "dead letters of this stage, also by class as dead_<class>"},
	}
}
