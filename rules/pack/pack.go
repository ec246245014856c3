// Package pack holds the rules that come with the program.
//
// A pack is a directory of rule files, embedded: `--pack nats` turns one on. Its
// files are called pack:NAME/FILE in messages. A user's rule with the id of a
// rule of the pack takes its place: see Override.
package pack

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"corral/rules"
)

//go:embed */*.yaml
var embedded embed.FS

// Names are the packs there are, sorted.
func Names() []string {
	entries, err := embedded.ReadDir(".")
	if err != nil {
		panic(err) // embedded: cannot fail
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Files returns the rule files of a pack, sorted by name.
func Files(name string) ([]rules.File, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no pack %q: there is %s", name, strings.Join(Names(), ", "))
	}
	entries, err := embedded.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var out []rules.File
	for _, e := range entries {
		if rules.IsTestFile(e.Name()) {
			continue
		}
		data, err := embedded.ReadFile(path.Join(name, e.Name()))
		if err != nil {
			panic(err)
		}
		out = append(out, rules.File{Name: "pack:" + name + "/" + e.Name(), Data: data})
	}
	return out, nil
}

// Override returns the files of packs without the rules that have a namesake in
// user, files of the user's. Lines keep their numbers, so that a diagnostic points
// at the same place whatever was left out; a file without any rule left is left
// out itself. User files that are not YAML override nothing: loading them says so.
func Override(packs, user []rules.File) []rules.File {
	var ids []string
	for _, f := range user {
		for _, r := range ruleNodes(f.Data) {
			ids = append(ids, ruleID(r))
		}
	}
	if len(ids) == 0 {
		return packs
	}
	var out []rules.File
	for _, f := range packs {
		if f.Data = leaveOut(f.Data, ids); f.Data != nil {
			out = append(out, f)
		}
	}
	return out
}

// Text returns rules of a pack as a file of the user's that can be changed: each
// with the defaults and lists it needs, in the order of the pack. An id that the
// pack does not have is an error.
func Text(name string, ids []string) ([]byte, error) {
	files, err := Files(name)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(files, func(f rules.File) bool {
			return slices.ContainsFunc(ruleNodes(f.Data), func(n *yaml.Node) bool { return ruleID(n) == id })
		}) {
			return nil, fmt.Errorf("pack %s has no rule %q", name, id)
		}
	}
	var out []byte
	for _, f := range files {
		text, ok := only(f.Data, ids)
		if !ok {
			continue
		}
		if out != nil {
			return nil, fmt.Errorf("rules of several files of pack %s, whose defaults and lists differ: print them one by one", name)
		}
		out = text
	}
	return out, nil
}

// only keeps the head of a file and the rules named; false says that it has none.
func only(data []byte, ids []string) ([]byte, bool) {
	list := ruleNodes(data)
	lines := bytes.SplitAfter(data, []byte("\n"))
	head := lines[:list[0].Line-1]
	for len(head) > 0 && !bytes.HasPrefix(head[len(head)-1], []byte("rules:")) {
		head = head[:len(head)-1] // what is said about the first rule
	}
	out := bytes.Join(head, nil)
	any := false
	for i, r := range list {
		if !slices.Contains(ids, ruleID(r)) {
			continue
		}
		any = true
		end := len(lines)
		if i+1 < len(list) {
			end = list[i+1].Line - 1
		}
		body := lines[r.Line-1 : end]
		for len(body) > 0 && aside(body[len(body)-1]) {
			body = body[:len(body)-1]
		}
		out = append(out, bytes.Join(body, nil)...)
	}
	return out, any
}

// aside reports a line that says nothing to a parser.
func aside(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// leaveOut blanks the lines of the rules named; nil says that none is left.
func leaveOut(data []byte, ids []string) []byte {
	list := ruleNodes(data)
	lines := bytes.SplitAfter(data, []byte("\n"))
	left := len(list)
	for i, r := range list {
		if !slices.Contains(ids, ruleID(r)) {
			continue
		}
		left--
		end := len(lines)
		if i+1 < len(list) {
			end = list[i+1].Line - 1
		}
		for n := r.Line - 1; n < end; n++ {
			lines[n] = []byte("\n")
		}
	}
	if left == 0 {
		return nil
	}
	return bytes.Join(lines, nil)
}

// ruleNodes are the mappings under `rules:`, in the order of the file; none of a
// file that is not YAML.
func ruleNodes(data []byte) []*yaml.Node {
	var doc struct {
		Rules []yaml.Node `yaml:"rules"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil
	}
	out := make([]*yaml.Node, len(doc.Rules))
	for i := range doc.Rules {
		out[i] = &doc.Rules[i]
	}
	return out
}

func ruleID(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "id" {
			return n.Content[i+1].Value
		}
	}
	return ""
}
