package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// command is the command line that a form stands for.
type command struct {
	args []string
	asks bool // it asks before it changes something, unless --yes
}

// key matches what retry and drop take: the number of a dead letter, dataset/id of
// an item, or a STIX id. None starts like a flag.
var key = regexp.MustCompile(`^[\pL\pN]\S*$`)

// commandOf reads a form. It refuses anything that is not an action of the page.
func commandOf(r *http.Request) (command, error) {
	if err := r.ParseForm(); err != nil {
		return command{}, errors.New("the form cannot be read")
	}
	stage, from := r.PostFormValue("stage"), strings.TrimSpace(r.PostFormValue("from"))
	switch action := r.PostFormValue("action"); action {
	case "trigger", "check":
		return command{args: []string{action}}, nil
	case "pause", "resume":
		if !slices.Contains(stages, stage) {
			return command{}, fmt.Errorf("there is no stage %q to %s", stage, action)
		}
		return command{[]string{action, stage}, true}, nil
	case "repull":
		if from == "" {
			return command{}, errors.New("the start date is missing")
		}
		args := []string{"repull", "--from=" + from}
		for _, set := range r.PostForm["dataset"] {
			args = append(args, "--dataset="+set)
		}
		return command{args, true}, nil
	case "skip":
		set, to := r.PostFormValue("dataset"), strings.TrimSpace(r.PostFormValue("to"))
		if set == "" || to == "" {
			return command{}, errors.New("the dataset or the date to continue from is missing")
		}
		return command{[]string{"skip", "--dataset=" + set, "--to=" + to}, true}, nil
	case "retry-class":
		return command{[]string{"spool", "retry", "--all", "--stage=" + stage, "--class=" + r.PostFormValue("class")}, true}, nil
	case "retry", "drop":
		keys := r.PostForm["key"]
		if len(keys) == 0 {
			return command{}, errors.New("nothing is selected")
		}
		for _, k := range keys {
			if !key.MatchString(k) {
				return command{}, fmt.Errorf("%q is not a key", k)
			}
		}
		return command{append([]string{"spool", action}, keys...), true}, nil
	}
	return command{}, errors.New("there is no such action")
}

// stages are the stages that can be paused.
var stages = []string{"fetch", "map", "deliver"}

// unquoted matches what needs no quotes in a shell.
var unquoted = regexp.MustCompile(`^[a-zA-Z0-9+,./:=@_-]+$`)

// commandLine returns the command as it would be typed.
func commandLine(args []string) string {
	words := []string{strings.TrimSpace(program)}
	for _, a := range args {
		if !unquoted.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// letter is a dead letter with its payload.
func (s *site) letter(r *http.Request) (string, any, error) {
	k := r.PathValue("key")
	if _, err := strconv.ParseUint(k, 10, 64); err != nil {
		return "", nil, errAbsent
	}
	e, body, err := s.src.Show("dead", k)
	if errors.Is(err, spool.ErrNotFound) {
		return "", nil, errAbsent
	}
	if err != nil && !errors.Is(err, spool.ErrCorrupt) {
		return "", nil, err
	}
	v := letter{frame: s.frame("Dead letter "+k, "unsettled/", 0), Key: k}
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		v.Fields = append(v.Fields, inspect.Setting{Key: name, Value: fmt.Sprint(e.Fields[name])})
	}
	v.Body = shownBody(body)
	return "letter.html", v, nil
}

// shownBody prepares a payload for display and limits its length.
func shownBody(body []byte) string {
	const most = 256 << 10
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	cut := ""
	if len(body) > most {
		body, cut = body[:most], "\n… spool show dead has the rest"
	}
	if !utf8.Valid(body) {
		return strings.ToValidUTF8(string(body), "\uFFFD") + cut
	}
	return string(body) + cut
}
