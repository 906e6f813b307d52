package logging

// MessageInfo explains one line of the log above debug.
type MessageInfo struct {
	Level   string // INFO, WARNING, ERROR, or NOTICE: INFO that is printed at every level
	Text    string
	Meaning string
	Action  string // what to do; empty when nothing is
}

// Messages returns the catalogue of log messages, by the part that prints them.
func Messages() []MessageInfo {
	const later = "it is tried again by itself"
	return []MessageInfo{
		{"NOTICE", "connector starts", "The spool is open and the stages begin. `stop_before` stands there when the process before did not end in order, `goes_on_with_run` when a run is taken up again.", ""},
		{"NOTICE", "connector stops", "All stages have ended; the spool holds what is not delivered.", ""},
		{"NOTICE", "run delivered", "Everything of the run is confirmed by RabbitMQ; `trouble` says what it lacks.", "With trouble: `spool run ID`, `spool dead`."},
		{"NOTICE", "ends with something missing", "A single run is delivered, but something was parked, is a dead letter, or a dataset failed (exit code 3).", "`spool run ID`, `spool dead`; the next run tries parked items again."},
		{"NOTICE", "ends before everything is delivered", "Stopped before the run was delivered (exit code 4).", "Start it again: it goes on from the spool."},
		{"ERROR", "the connector cannot go on", "A fatal error; `hint` says what to do (exit code 1, or 78 for settings).", "Follow the hint; nothing in the spool is lost."},
		{"INFO", "stopping", "A signal asked for an ordered stop.", ""},
		{"NOTICE", "setting", "A setting that is probably not meant, or an old name.", "`config check`"},
		{"NOTICE", "run asked for", "Somebody triggered a run over the admin socket.", ""},
		{"INFO", "run asked for by signal", "SIGUSR1 triggered a run.", ""},
		{"NOTICE", "repull asked for", "Somebody asked to import a past window again.", ""},
		{"NOTICE", "dataset skipped", "Somebody moved a dataset past a place that ThreatMatch does not give.", "The dead letter names the span; a `repull` from its start brings it when ThreatMatch gives it."},
		{"NOTICE", "retry asked for", "Somebody took dead letters or parked items back to work.", ""},
		{"NOTICE", "entries dropped", "Somebody removed entries from the spool for good.", ""},
		{"NOTICE", "spool compacted", "Somebody compacted the file of a stopped connector.", ""},
		{"INFO", "metrics and probes are served", "The HTTP port is open.", ""},
		{"INFO", "the admin socket is elsewhere", "The socket could not be made where the settings say; commands find it by the spool's lock file.", ""},
		{"WARNING", "no admin socket; inspect the spool after stopping the connector", "No place for a socket was found.", "Set admin.socket to a path of less than 100 bytes on a file system that has sockets."},
		{"WARNING", "the admin socket ended", "Commands do not reach the connector any more.", "Restart it when that is needed."},
		{"WARNING", "the metrics port ended", "The HTTP port does not answer any more.", "Restart it when that is needed."},
		{"WARNING", "commands may not find the admin socket", "The lock file could not be written.", "Look at the disk under the spool."},
		{"WARNING", "no watchdog", "The service manager's watchdog settings cannot be read.", "Look at WatchdogSec in the unit."},
		{"WARNING", "the service manager does not hear", "systemd's socket does not take messages.", ""},
		{"WARNING", "other users can write in the spool's directory", "They could put other files in the place of the spool's.", "`chmod 700` it, as the hint says."},
		{"WARNING", "the disk has less room than the spool may take", "The disk would be full before `spool.max_size` is reached: fetch pauses then, and says so.", "Lower `spool.max_size`, or give the spool a larger volume."},
		{"ERROR", "the spool was damaged and set aside; a new one starts from the platform's state", "The file failed its check at the start. It is kept under a dated name.", "Look at the disk. What was in the old file and not delivered is listed by ThreatMatch again from the last run on."},

		{"ERROR", "a stage is held up", "ThreatMatch, OpenCTI, RabbitMQ or the disk has kept it from working for a minute; nothing is lost.", "The reason says what and, where it is known, what to do; `status`, `check`."},
		{"NOTICE", "a stage is no longer held up", "What an error told of is over.", ""},

		{"INFO", "run starts", "A new run, with the windows that its lists ask for.", ""},
		{"WARNING", "watermark lies in the future", "A clock was wrong; the watermark before it is used, or `import_from_date` where that is no better.", "Set the clock."},
		{"WARNING", "dataset is new: it starts where the others stand", "A dataset was switched on in a spool that has run already.", "Import what is older by `repull --from DATE --dataset NAME`."},
		{"WARNING", "type is new: it starts where the other IOCs stand", "A type was added to threatmatch.taxii_types in a spool that has run already.", "Import what is older by `repull --from DATE --dataset iocs`."},

		{"INFO", "fetch begins", "Fetch takes up a run.", ""},
		{"INFO", "fetch ended", "Everything of the run is fetched or parked.", ""},
		{"ERROR", "items could not be fetched", "How many items of the run were parked or became dead letters.", "`spool ls tasks`, `spool dead`; parked ones are tried again in later runs."},
		{"WARNING", "details of an item could not be fetched; the item is imported without them", "ThreatMatch refused what the portal shows of it, or did not answer.", "Set threatmatch.details to false where the account may not read them; `repull` asks for them again."},
		{"ERROR", "a request fails, trying again", "A request of the dataset fails for longer than a hiccup; the line shows the oldest.", "`status`, `spool ls failing`; follow the reason."},
		{"NOTICE", "no request of the dataset fails any more", "What failed arrived, was parked, or ended its dataset for the run.", ""},
		{"ERROR", "fetch is paused", "ThreatMatch refuses account or address.", "Follow the hint; `check`."},
		{"WARNING", "ThreatMatch does not answer, trying again", "No request is answered; " + later + ". No item is to blame.", "After a minute it is an error of its own; `check`."},
		{"WARNING", "fetch goes on", "ThreatMatch answers again.", ""},
		{"WARNING", "dataset is skipped", "The account is not offered this dataset.", "Switch it off, or ask ThreatMatch for access."},
		{"ERROR", "dataset failed for this run; the next one goes on from here", "Its list or page failed for half an hour, or was refused five times, or the configured group of IOCs, used before, was not offered.", "The error says why; the watermark stays."},
		{"WARNING", "dataset is switched off: its open requests are dropped", "Settings changed while requests of it were open.", ""},
		{"WARNING", "list is not complete", "ThreatMatch's list had entries without an id, or skipped a span.", "The dead letter has what was there."},
		{"WARNING", "server reads dates in another time zone; asking from further back", "The list echoed a later date than was asked for.", ""},
		{"ERROR", "the clocks of this machine and of ThreatMatch are far apart: set the clock", "By ten minutes or more; runs end at the earlier one.", "Set the clock, best by NTP."},
		{"ERROR", "the clocks of this machine and of ThreatMatch are more than a day apart: its answers' Date is not used", "One of the two is wrong; runs end at this machine's time.", "Set the clock, best by NTP; if it is right, tell ThreatMatch."},
		{"WARNING", "the clocks of this machine and of ThreatMatch differ", "They are more than a minute apart; runs end at the earlier one.", "Set the clock, best by NTP."},
		{"WARNING", "IOC groups not found", "The configured group does not exist, nor did any run use it before; all groups are used.", "Set threatmatch.taxii_group."},
		{"WARNING", "group is new: it starts where the other IOCs stand", "The last run of IOCs did not ask for this group: threatmatch.taxii_group was changed, or the group came later.", "Import what is older by `repull --from DATE --dataset iocs`."},
		{"WARNING", "server says that there are more objects, but gives none", "IOC paging came to an end all the same.", ""},
		{"ERROR", "the API cannot give everything", "More objects share a timestamp than a page holds; some may be missing.", "The dead letter of class `gap` names the span; ask ThreatMatch."},
		{"WARNING", "server asks to slow down", "An answer 429: all requests wait.", "Lower threatmatch.requests_per_second if it comes often."},

		{"INFO", "run mapped", "Everything of the run is handed over to deliver.", ""},
		{"WARNING", "dead letters", "Map gave up on something; the line shows the first.", "`spool dead`, `spool show dead KEY`, `spool retry KEY`."},
		{"WARNING", "this cannot be mapped: it becomes a dead letter", "An object, or else its whole record, fails however often it is tried; the rest goes on.", "Report it, with `spool show`."},
		{"WARNING", "times cannot be read", "Objects hold times in a form that the connector does not know; they go out without them. `first` names one.", "Tell ThreatMatch; `spool show ID` has the source."},
		{"WARNING", "an unknown marking was removed, its object counts as TLP:RED", "Neither ThreatMatch nor OpenCTI knows the marking, so nobody can say what it restricts.", ""},
		{"WARNING", "a value of ThreatMatch is not understood", "The kind is the count's name (deploy/METRICS.md). What marks an object and cannot be read counts as TLP:RED; what is left of a label is not imported.", ""},
		{"ERROR", "mapping is held up, trying again", "The spool could not be read or written.", "The error says why: mostly the disk."},
		{"WARNING", "trying the record alone at which the process died", "Mapping this record ended the process twice; if it does so again it becomes a dead letter.", "Report it, with `spool show`."},
		{"WARNING", "the platform cannot be asked for references: the run's waiting objects stay in the spool", "OpenCTI does not answer; " + later + ".", ""},
		{"WARNING", "the platform refuses to look up references: they count as unknown", "OpenCTI does not let the user read.", "Give the user a role that may read knowledge."},
		{"INFO", "the spool was reset: starting over", "The state was reset on OpenCTI.", ""},

		{"INFO", "work opened on OpenCTI", "The run is shown on OpenCTI from now on.", ""},
		{"INFO", "delivery pauses", "It is not the time to send, for the reason given.", "Over the threshold: OpenCTI's workers must catch up."},
		{"INFO", "delivery goes on", "What held delivery up is over.", ""},
		{"ERROR", "delivery is refused, trying again", "RabbitMQ or OpenCTI refuses the connector's account or set-up.", "Follow the hint; `check`."},
		{"WARNING", "the broker's password goes over the network in clear", "OpenCTI is reached by https, and its broker without TLS.", "Set `MQ_USE_SSL` and `MQ_PORT`, if the broker has TLS."},
		{"WARNING", "delivery is held up, trying again", "RabbitMQ or OpenCTI does not answer as it should.", "Follow the hint; `check`."},
		{"WARNING", "the broker refuses messages since its queue is full, waiting", "The queue has a length limit and is full.", "OpenCTI's workers must catch up."},
		{"ERROR", "a message became a dead letter", "RabbitMQ will never take it, mostly because it is too large; or it refers to such a one (class dependency).", "Raise max_message_size on RabbitMQ, then `spool retry --all`."},
		{"ERROR", "the cursor cannot be stored, publishing stops until it can", "The disk under the spool is full or failing.", "Make room."},
		{"ERROR", "a bundle could not be archived; the queue has it", "The directory of connector.send_to_directory cannot be written.", "Look at its disk."},
		{"ERROR", "the run's work was deleted on OpenCTI, and with it what its workers had not imported yet", "Somebody deleted the work; the rest goes out under a new one.", "The line names the `repull` that mends it."},
		{"NOTICE", "the connector's user may not read works and queues (capability MODULES): deleted works go unnoticed, and the queue is watched at the broker alone", "Told once a start.", "Give the user the role Connector."},
		{"NOTICE", "the broker does not tell how many messages are queued; runs follow each other by OpenCTI's word, or after two minutes", "The broker's user may not look at the queue. Told once a start.", ""},
		{"WARNING", "OpenCTI expects another number of messages than it was told", "Somebody else counts on the same work.", ""},
		{"INFO", "the spool was reset, delivery starts over", "The state was reset on OpenCTI.", ""},

		{"WARNING", "OpenCTI refused objects of a run", "Its workers could not import them; each is a dead letter of class `rejected`. `at_least` is set where OpenCTI keeps no more errors of a work; `first` names one.", "`spool dead`; change on OpenCTI what the line says, then `spool retry KEY`."},
		{"NOTICE", "the connector's user may not read works (capability MODULES): what OpenCTI refuses is not read back", "Told once a start.", "Give the user the role Connector."},
		{"INFO", "the work was deleted on OpenCTI before its errors were read", "What its workers refused until then stays unknown.", ""},
		{"INFO", "the errors of a work could not be read", "OpenCTI or the spool did not answer; it is tried again by itself.", ""},

		{"INFO", "registered with OpenCTI", "OpenCTI has declared exchange and queue.", ""},
		{"INFO", "registering again", "Credentials or topology seem to have changed.", ""},
		{"NOTICE", "going on from the state on OpenCTI", "The spool is empty, and OpenCTI knows where the connector was.", ""},
		{"ERROR", "OpenCTI refuses the connector", "Token, rights or address are wrong; " + later + ".", "Follow the hint; `check`."},
		{"WARNING", "trouble with OpenCTI, trying again", "A call failed; " + later + ".", "Follow the hint; `check`."},
		{"WARNING", "OpenCTI does not know the connector, registering again", "It was deleted there.", ""},
		{"ERROR", "OpenCTI holds an older state than it confirmed: it seems to have been rolled back; the spool goes on from where it is", "A backup was restored there.", "Run the `repull` that the hint names."},
		{"ERROR", "the state on OpenCTI was written by somebody else: is a second connector running under this id?", "Two connectors share one id.", "Stop one, or give it an id of its own."},
		{"NOTICE", "import starts again from the configured date", "The state was reset on OpenCTI; everything but the dead letters was cleared.", ""},
		{"INFO", "work of before the reset deleted", "A work that was under way is removed on OpenCTI.", ""},
		{"ERROR", "somebody else writes this connector's entry on OpenCTI", "The entry changed between two of our pings, again and again.", "Stop the second connector under this id, or give it an id of its own; after a restored backup of OpenCTI, `repull`."},
		{"NOTICE", "the connector's user may not read connectors (capability MODULES): a second connector under this id would go unnoticed", "Told once a start.", "Give the user the role Connector."},
		{"ERROR", "the platform loop starts without its notes", "They cannot be read; nothing is lost but the memory of earlier states.", ""},

		{"INFO", "removed from the spool", "What may go was removed, by kind.", ""},
		{"WARNING", "the spool could not be tidied up", "The error says why; " + later + ".", ""},
		{"WARNING", "old files of the archive could not be removed", "The directory of connector.send_to_directory cannot be changed.", "Look at its rights."},

		{"WARNING", "drain timeout passed", "A stage did not end in time and is cut; the spool holds the rest.", "Raise connector.drain_timeout if it comes often."},
		{"WARNING", "stopped without draining", "A second signal came, or the drain took too long.", ""},
		{"WARNING", "trouble while stopping", "A stage ended with an error; the spool holds the rest.", ""},
		{"WARNING", "the state could not be pushed; the next start does", "OpenCTI did not answer at the end.", ""},
	}
}
