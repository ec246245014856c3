package rules

import "encoding/json"

// Schema returns the JSON Schema (draft 2020-12) of rule files, for editors.
func Schema() []byte {
	b, err := json.MarshalIndent(schemaFile(), "", "  ")
	if err != nil {
		panic(err) // maps, slices and texts only
	}
	return append(b, '\n')
}

type object = map[string]any

// schemaFile describes a rule file. The keys are those the reader knows: a test
// compares the two.
func schemaFile() object {
	return object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "corral rules",
		"description": "Rules that join log events and NATS advisories into incidents.",
		"type":        "object", "required": []string{"rules"}, "additionalProperties": false,
		"properties": object{
			"version":  object{"const": 1, "description": "Version of the rule language."},
			"defaults": mappingOf("Envelope fields for every rule of the file that does not set them.", envelopeSchema(), nil),
			"lists": object{
				"type": "object", "description": "Named values for `in lists.NAME`.",
				"propertyNames":        object{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
				"additionalProperties": object{"type": "array", "items": object{"type": []string{"string", "number", "boolean"}}},
			},
			"rules": object{"type": "array", "minItems": 1, "items": object{"$ref": "#/$defs/rule"}},
		},
		"$defs": object{
			"rule":       ruleSchema(),
			"expression": object{"type": []string{"string", "boolean", "number"}, "description": "An expr expression.", "minLength": 1},
			"duration":   object{"type": []string{"string", "integer"}, "description": "A span: 90s, 5m, 1h30m, 7d, 2w.", "pattern": `^(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)$`, "maximum": 0},
			"timezone":   object{"type": "string", "description": "An IANA zone: Europe/Berlin."},
		},
	}
}

func ref(name, doc string) object {
	return object{"$ref": "#/$defs/" + name, "description": doc}
}

func expressionOf(doc string) object { return ref("expression", doc) }
func durationOf(doc string) object   { return ref("duration", doc) }

func wordOf(doc string, words ...string) object {
	return object{"enum": words, "description": doc}
}

func textOf(doc string) object { return object{"type": "string", "minLength": 1, "description": doc} }

func boolOf(doc string) object { return object{"type": "boolean", "description": doc} }

func intOf(doc string, least int) object {
	return object{"type": "integer", "minimum": least, "description": doc}
}

func listOfSchema(doc string, items object) object {
	return object{"type": "array", "items": items, "description": doc}
}

func mappingOf(doc string, properties object, required []string) object {
	o := object{"type": "object", "additionalProperties": false, "properties": properties, "description": doc}
	if required != nil {
		o["required"] = required
	}
	return o
}

// ruleSchema is one rule: the envelope and exactly one kind.
func ruleSchema() object {
	properties := envelopeSchema()
	properties["id"] = object{"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "description": "Unique over all files; it is part of every incident's identity."}
	properties["renamed_from"] = textOf("The id the rule had: state and open incidents are carried over.")
	properties["tests"] = object{"type": "array", "description": "Tests of this rule, as in a *_test.yaml file."}
	var kinds []object
	for name, schema := range kindSchemas() {
		properties[name] = schema
	}
	for _, name := range kindKeys {
		kinds = append(kinds, object{"required": []string{name}})
	}
	return object{
		"type": "object", "required": []string{"id"}, "additionalProperties": false, "properties": properties, "oneOf": kinds,
	}
}

func envelopeSchema() object {
	return object{
		"title":           textOf("One line; {{ }} holds an expression. Default: the id."),
		"summary":         textOf("More text; {{ }} holds an expression."),
		"severity":        severitySchema(),
		"owner":           textOf("Who is told."),
		"runbook":         textOf("Where it says what to do."),
		"labels":          object{"type": "object", "additionalProperties": object{"type": "string"}, "description": "For routing; values may hold {{ }}."},
		"match":           expressionOf("Which events this rule reads."),
		"from":            wordOf("incidents: the rule reads other rules' incidents.", "events", "incidents"),
		"group_by":        groupSchema(),
		"for":             durationOf("The condition must hold this long before the incident opens."),
		"keep_firing_for": durationOf("The incident stays open until the condition has been false this long."),
		"resolve": mappingOf("How it ends besides by itself.", object{
			"when": expressionOf("An event of the key on which this holds resolves the incident."),
			"max":  durationOf("Then it rotates into a new, linked incident. Default 24h, 0 never."),
		}, nil),
		"refire":       wordOf("edge: once until the condition was false. reset: state is cleared after firing. level: at every evaluation.", "edge", "reset", "level"),
		"suppress":     durationOf("No new incident of the key for this long after one resolved."),
		"update_every": durationOf("At most one growth revision per this time. Default 5m."),
		"limits": mappingOf("Bounds of the rule's state.", object{
			"groups":   intOf("Keys with state. Default 100000.", 1),
			"open":     intOf("Open incidents before further keys collapse into one. Default 1000.", 1),
			"partials": intOf("Unfinished matches of a sequence per key. Default 100.", 1),
		}, nil),
		"inhibited_by": listOfSchema("Rules whose open incidents keep this one's from notifying.", mappingOf("", object{
			"rule": textOf("Id of the other rule."),
			"same": listOfSchema("Group keys that must have the same value.", object{"type": "string"}),
		}, []string{"rule"})),
		"signal":   boolOf("Recorded and readable by `from: incidents`, never notified."),
		"evidence": intOf("Events an incident keeps. Default 6.", 0),
		"active": mappingOf("When the rule is active.", object{
			"schedule": textOf("'Mon-Fri 08:00-18:00'; several separated by ;"),
			"timezone": ref("timezone", "Zone of the schedule. Default UTC."),
		}, []string{"schedule"}),
		"notify": mappingOf("What is notified.", object{"resolved": boolOf("Tell of the resolution. Default true.")}, nil),
	}
}

func severitySchema() object {
	step := mappingOf("", object{"when": expressionOf("When it applies; none: always."), "is": wordOf("", severityWords...)}, []string{"is"})
	return object{
		"description": "How bad it is, or a ladder: the first step whose `when` holds.",
		"oneOf":       []object{wordOf("", severityWords...), {"type": "array", "minItems": 1, "items": step}},
	}
}

func groupSchema() object {
	byStep := object{"type": "object", "additionalProperties": object{"$ref": "#/$defs/expression"}}
	return object{
		"description": "State is kept for each value of these: expressions, or name: expression, or name: {step: expression}.",
		"oneOf": []object{
			{"type": "array", "items": object{"$ref": "#/$defs/expression"}},
			{"type": "object", "additionalProperties": object{"oneOf": []object{{"$ref": "#/$defs/expression"}, byStep}}},
		},
	}
}

func kindSchemas() map[string]object {
	return map[string]object{
		"event": {"type": []string{"object", "null"}, "maxProperties": 0, "description": "Every matching event fires."},
		"threshold": mappingOf("Aggregates over one window.", object{
			"window":    windowSchema(),
			"condition": expressionOf("Over aggregates: count() >= 20, avg(http.duration_ms) > 500."),
			"clear":     expressionOf("The condition counts as true until this is. Default: not condition."),
		}, []string{"window", "condition"}),
		"absence": mappingOf("Too few events by a deadline.", object{
			"every": object{"description": "How often one must come, or a schedule.", "oneOf": []object{
				{"$ref": "#/$defs/duration"},
				mappingOf("", object{
					"schedule": textOf("Five cron fields: '0 2 * * *'."),
					"timezone": ref("timezone", "Zone of the schedule. Default UTC."),
					"grace":    durationOf("How late it may be."),
				}, []string{"schedule"}),
			}},
			"min":          intOf("How many must come. Default 1.", 1),
			"expect":       object{"description": "Keys that must report even if never seen: lists.NAME, or a list.", "type": []string{"string", "array"}},
			"remember":     durationOf("Keys seen this lately are expected. Default 24h."),
			"forget_after": durationOf("Then a silent key is dropped. Default 72h."),
		}, []string{"every"}),
		"change": mappingOf("A value against what is remembered of it.", object{
			"of":      expressionOf("The value."),
			"detect":  wordOf("Default changed.", "changed", "first_seen", "flapping"),
			"memory":  durationOf("first_seen: how long values are remembered. Default 30d."),
			"learn":   durationOf("first_seen: values of a key's first span are learned silently."),
			"changes": intOf("flapping: how many changes. Default 5.", 2),
			"within":  durationOf("flapping: in which time."),
		}, []string{"of"}),
		"temporal": mappingOf("Several event types in one window, in any order.", object{
			"window":    durationOf("Length of the window."),
			"events":    object{"type": "object", "minProperties": 1, "additionalProperties": object{"$ref": "#/$defs/expression"}, "description": "name: which events. Each name is its count."},
			"condition": expressionOf("Over the counts. Default: every one > 0."),
		}, []string{"window", "events"}),
		"sequence": sequenceSchema(),
	}
}

func windowSchema() object {
	shape := func(required string, properties object) object {
		return mappingOf("", properties, []string{required})
	}
	longest := durationOf("Longest.")
	return object{"description": "Sliding by this span, or a shape.", "oneOf": []object{
		{"$ref": "#/$defs/duration"},
		shape("sliding", object{"sliding": durationOf("Every instant looks this far back.")}),
		shape("tumbling", object{"tumbling": durationOf("One after the other, aligned."), "timezone": ref("timezone", "Aligned to midnight there.")}),
		shape("session", object{"session": durationOf("Gap that ends it."), "max": longest}),
		shape("last", object{"last": intOf("The last n events.", 1)}),
		shape("start", object{"start": expressionOf("Event that opens it."), "end": expressionOf("Event that closes it."), "max": longest}),
	}}
}

func sequenceSchema() object {
	times := object{"description": "How often.", "oneOf": []object{
		intOf("", 1), mappingOf("", object{"min": intOf("", 0), "max": intOf("", 1)}, nil),
	}}
	step := mappingOf("", object{
		"name":     object{"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "How later steps and texts call it."},
		"match":    expressionOf("Which events fill it."),
		"where":    expressionOf("May read earlier steps: deploy.attrs.version, crash.all."),
		"times":    times,
		"optional": boolOf("May be missing."),
		"greedy":   boolOf("Takes as many as it can."),
		"absent":   boolOf("Must not come."),
		"within":   durationOf("From the previous step."),
	}, []string{"name", "match"})
	return mappingOf("Ordered steps.", object{
		"within":     durationOf("From the first event to the last."),
		"steps":      object{"type": "array", "minItems": 1, "items": step, "description": "In order."},
		"until":      expressionOf("Cancels the key's unfinished matches."),
		"contiguity": wordOf("What other events of the key do. Default relaxed.", "relaxed", "strict", "any"),
		"skip":       wordOf("Which matches go on after one. Default past_last.", "past_last", "next", "none"),
		"on_timeout": wordOf("emit: an unfinished match is an incident too.", "ignore", "emit"),
	}, []string{"steps"})
}
