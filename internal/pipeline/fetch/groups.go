package fetch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/fetch/paging"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// groupOf is the prefix of the counter for a group that a run requests. The group's
// id, a slash and its name follow.
const groupOf = "fetch.groups:"

// succeedGroups turns the groups to read, named in the settings by name or id, into
// page tasks.
func (f *Stage) succeedGroups(r result, v *verdict) {
	groups, missing := pickGroups(r.groups, f.opt.Groups)
	if f.opt.OnlyGroups && len(missing) == len(f.opt.Groups) {
		*v = f.endDataset(r, spool.DatasetFailed, "none of the groups of threatmatch.taxii_groups is offered: "+strings.Join(missing, ", "))
		return
	}
	if len(groups) == 0 {
		*v = f.endDataset(r, spool.DatasetSkipped, "no group of IOCs is offered to this account")
		return
	}
	gone, err := f.goneGroup(missing)
	if err == nil && gone == "" {
		err = f.newGroups(r.run, groups)
	}
	if err != nil {
		f.fatal, v.Keep = err, &r.task.TaskState // a shutdown may still commit this
		return
	}
	if gone != "" {
		// All groups share a watermark, which must not move past objects that only
		// this group has.
		*v = f.endDataset(r, spool.DatasetFailed, fmt.Sprintf("group %q, which an earlier run used, is not offered now; "+
			"remove it from the settings if it is gone for good", gone))
		return
	}
	if len(missing) > 0 {
		f.Log.Warn("IOC groups not found", "stage", stageName, "run", r.run.ID, "groups", missing, "using", groupNames(groups))
	}
	v.Add = f.pageTasks(groups, r.task, r.run.Datasets[spool.IOCs].From)
	f.run.list(spool.IOCs).ok = true
	v.Status = &spool.DatasetRun{Status: spool.DatasetListed}
	v.Count = map[string]int64{"fetch.lists": 1}
	for _, g := range groups {
		v.Count[groupOf+g.ID+"/"+g.Name] = 1
	}
}

// pageTasks returns a first page task for each group and type. If the list's task
// is for a single time, so are they, and their keys differ from the usual ones,
// which hold an import's cursors.
func (f *Stage) pageTasks(groups []threatmatch.Group, list spool.Task, from time.Time) []spool.NewTask {
	var tasks []spool.NewTask
	for _, g := range groups {
		for _, stixType := range f.opt.Types {
			task := spool.NewTask{TaskKey: spool.TaskKey{Dataset: spool.IOCs, Kind: spool.TaskPage, Source: g.ID + "/" + stixType}, Since: from}
			cursor := paging.New(g.ID, stixType, from)
			if spool.IsSpan(list.TaskKey) {
				task.Source, task.Since, task.Anew = list.Source+"/"+task.Source, list.Since, true
				cursor = paging.NewSpan(g.ID, stixType, list.Since)
			}
			text, err := json.Marshal(cursor)
			if err != nil {
				continue // cannot happen: text and times always marshal
			}
			task.Cursor = text
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// pickGroups returns the wanted groups, and the wanted names that match no group.
// If none matches, it picks all groups.
func pickGroups(all []threatmatch.Group, wanted []string) (picked []threatmatch.Group, missing []string) {
	for _, w := range wanted {
		i := slices.IndexFunc(all, func(g threatmatch.Group) bool { return g.Is(w) })
		if i < 0 {
			missing = append(missing, w)
		} else if !slices.Contains(picked, all[i]) {
			picked = append(picked, all[i])
		}
	}
	if len(picked) == 0 {
		picked = all
	}
	return picked, missing
}

func groupNames(groups []threatmatch.Group) []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	return names
}

// goneGroup returns the first of the missing groups that an earlier run used, "" if
// there is none.
func (f *Stage) goneGroup(missing []string) (string, error) {
	if len(missing) == 0 {
		return "", nil
	}
	gone := ""
	err := pipeline.RunHistory(f.Spool, f.epoch, func(r spool.Run) bool {
		had := groupsOf(r)
		i := slices.IndexFunc(missing, func(m string) bool {
			return slices.ContainsFunc(had, func(g threatmatch.Group) bool { return g.Is(m) })
		})
		if i >= 0 {
			gone = missing[i]
		}
		return i < 0
	})
	return gone, err
}

// newGroups warns about groups that the latest run of IOCs did not request: they
// have no watermark of their own. It skips repulls, which state their own start.
func (f *Stage) newGroups(run *openRun, groups []threatmatch.Group) error {
	if !run.Reason.MovesWatermarks() {
		return nil
	}
	return pipeline.RunHistory(f.Spool, f.epoch, func(r spool.Run) bool {
		had := groupsOf(r)
		if len(had) == 0 {
			return true
		}
		for _, g := range groups {
			if !slices.ContainsFunc(had, func(h threatmatch.Group) bool { return h.ID == g.ID }) {
				f.Log.Warn("group is new: it starts where the other IOCs stand", "stage", stageName, "run", run.ID, "group", g.Name,
					"from", run.Datasets[spool.IOCs].From, "hint", "repull --from DATE --dataset "+string(spool.IOCs)+" imports what is older")
			}
		}
		return false
	})
}

// groupsOf returns the groups that a run requested.
func groupsOf(r spool.Run) []threatmatch.Group {
	var groups []threatmatch.Group
	for name := range r.Counters {
		if g, ok := strings.CutPrefix(name, groupOf); ok {
			id, name, _ := strings.Cut(g, "/")
			groups = append(groups, threatmatch.Group{ID: id, Name: name})
		}
	}
	return groups
}
