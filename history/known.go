package history

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"
)

// Known is an incident people know of, by which rules are judged.
type Known struct {
	ID    string            `yaml:"id" json:"id"`
	Title string            `yaml:"title" json:"title,omitempty"`
	From  time.Time         `yaml:"from" json:"from"`
	To    time.Time         `yaml:"to" json:"to"`
	Rules []string          `yaml:"rules" json:"rules,omitempty"` // any of them; none: any rule
	Key   map[string]string `yaml:"key" json:"key,omitempty"`     // what key or labels must say
}

// KnownResult is what each side made of a known incident.
type KnownResult struct {
	Known
	Base    *Catch        `json:"base"` // nil: missed
	Head    *Catch        `json:"head"`
	Later   time.Duration `json:"later_ns"` // the head's, where both have it
	Verdict string        `json:"verdict"`  // both, lost, found, missed
}

// Catch is the first incident that tells of a known one.
type Catch struct {
	Rule     string        `json:"rule_id"`
	Incident string        `json:"incident_id"`
	At       time.Time     `json:"at"`
	After    time.Duration `json:"after_ns"` // its beginning
}

// ReadKnown reads a list of known incidents.
func ReadKnown(data []byte) ([]Known, error) {
	var file struct {
		Known []Known `yaml:"known"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, err
	}
	if len(file.Known) == 0 {
		return nil, errors.New("no incidents under `known:`")
	}
	for i := range file.Known {
		k := &file.Known[i]
		switch {
		case k.ID == "":
			return nil, fmt.Errorf("the incident number %d has no `id`", i+1)
		case k.From.IsZero():
			return nil, fmt.Errorf("%s: `from` is missing", k.ID)
		case k.To.IsZero():
			k.To = k.From.Add(time.Hour)
		case k.To.Before(k.From):
			return nil, fmt.Errorf("%s: `to` lies before `from`", k.ID)
		}
	}
	return file.Known, nil
}

func (d *Diff) known(ks []Known) (out []KnownResult) {
	for _, k := range ks {
		r := KnownResult{Known: k, Base: k.catch(d.books[Base].Incidents()), Head: k.catch(d.books[Head].Incidents())}
		switch {
		case r.Base != nil && r.Head != nil:
			r.Verdict, r.Later = "both", r.Head.At.Sub(r.Base.At)
		case r.Base != nil:
			r.Verdict = "lost"
		case r.Head != nil:
			r.Verdict = "found"
		default:
			r.Verdict = "missed"
		}
		out = append(out, r)
	}
	return out
}

// catch is the first of xs, which are in order, that tells of the incident.
func (k *Known) catch(xs []*Incident) *Catch {
	for _, x := range xs {
		if x.OpenedAt.After(k.To) || x.End().Before(k.From) || !k.about(x) {
			continue
		}
		return &Catch{x.Rule, x.ID, x.OpenedAt, x.OpenedAt.Sub(k.From)}
	}
	return nil
}

func (k *Known) about(x *Incident) bool {
	ok := len(k.Rules) == 0
	for _, r := range k.Rules {
		ok = ok || r == x.Rule
	}
	for name, want := range k.Key {
		ok = ok && (x.Key[name] == want || x.Labels[name] == want)
	}
	return ok
}
