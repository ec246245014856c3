package rules

import (
	"encoding/json"
	"maps"
)

// Schema returns the JSON Schema of rule files, for editors. It is draft 7, the one
// that YAML language servers know best. What expressions mean it cannot say:
// `corral check` does.
func Schema() []byte { return marshalSchema(schemaFile()) }

// TestSchema returns the JSON Schema of test files (*_test.yaml).
func TestSchema() []byte { return marshalSchema(schemaTestFile()) }

func marshalSchema(schema object) []byte {
	b, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // maps, slices and texts only
	}
	return append(b, '\n')
}

type object = map[string]any

const draft = "http://json-schema.org/draft-07/schema#"

// schemaFile describes a rule file. The keys are those the reader knows: a test
// compares the two.
func schemaFile() object {
	definitions := object{
		"rule":       ruleSchema(),
		"expression": object{"type": []string{"string", "boolean", "number"}, "description": "An expr expression.", "minLength": 1},
		"timezone":   object{"type": "string", "description": "An IANA zone: Europe/Berlin.", "minLength": 1},
	}
	maps.Copy(definitions, testDefinitions())
	return object{
		"$schema":     draft,
		"title":       "corral rules",
		"description": "Rules that join log events and NATS advisories into incidents.",
		"type":        "object", "required": []string{"rules"}, "additionalProperties": false,
		"properties": object{
			"version":  object{"const": 1, "description": "Version of the rule language."},
			"defaults": mappingOf("What the rules of this file have in their envelope unless they say otherwise.", envelopeSchema(), nil),
			"lists": object{
				"type": "object", "description": "Named values for `in lists.NAME`.",
				"propertyNames":        object{"pattern": namePattern},
				"additionalProperties": object{"type": "array", "items": object{"type": []string{"string", "number", "boolean"}}},
			},
			"rules": object{"type": "array", "minItems": 1, "items": object{"$ref": "#/definitions/rule"}},
		},
		"if":          object{"properties": object{"defaults": object{"required": []string{"match"}}}, "required": []string{"defaults"}},
		"else":        object{"properties": object{"rules": object{"items": object{"allOf": matchNeeded()}}}},
		"definitions": definitions,
	}
}

const namePattern = "^[A-Za-z_][A-Za-z0-9_]*$"

func ref(name, doc string) object {
	return object{"$ref": "#/definitions/" + name, "description": doc}
}

func expressionOf(doc string) object { return ref("expression", doc) }
func durationOf(doc string) object   { return ref("duration", doc) }

func wordOf(doc string, words ...string) object {
	return object{"enum": words, "description": doc}
}

func textOf(doc string) object { return object{"type": "string", "minLength": 1, "description": doc} }

func boolOf(doc string) object { return object{"type": "boolean", "description": doc} }

func intOf(doc string, least, most int) object {
	return object{"type": "integer", "minimum": least, "maximum": most, "description": doc}
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

// whenHas applies then to a mapping that has the key.
func whenHas(key string, then object) object {
	return object{"if": object{"required": []string{key}}, "then": then}
}

// without forbids keys.
func without(keys ...string) object {
	o := object{}
	for _, k := range keys {
		o[k] = false
	}
	return object{"properties": o}
}

// ruleSchema is one rule: the envelope, exactly one kind, and what goes with it.
func ruleSchema() object {
	properties := envelopeSchema()
	properties["id"] = object{"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "description": "Unique over all files; it is part of every incident's identity."}
	properties["renamed_from"] = textOf("The id the rule had: state and open incidents are carried over.")
	properties["tests"] = ref("tests", "Tests of this rule, as in a *_test.yaml file.")
	maps.Copy(properties, kindSchemas())
	var one []object
	var all []object
	for _, name := range kindKeys {
		one = append(one, object{"required": []string{name}})
		if name == "event" || name == "change" || name == "sequence" {
			all = append(all, whenHas(name, without("for")))
		}
	}
	return object{
		"type": "object", "required": []string{"id"}, "additionalProperties": false, "properties": properties,
		"oneOf": one, "allOf": all,
	}
}

// matchNeeded are the kinds that say what they read in `match`, in the rule or in
// the file's defaults.
func matchNeeded() []object {
	var all []object
	for _, name := range kindKeys {
		if name != "temporal" && name != "sequence" {
			all = append(all, whenHas(name, object{"required": []string{"match"}}))
		}
	}
	return all
}

func envelopeSchema() object {
	return object{
		"title":           textOf("One line; {{ }} holds an expression. Default: the id."),
		"summary":         textOf("More text; {{ }} holds an expression."),
		"severity":        severitySchema(),
		"owner":           textOf("Who is told."),
		"runbook":         textOf("Where it says what to do."),
		"labels":          object{"type": "object", "additionalProperties": object{"type": "string", "minLength": 1}, "description": "For routing; values may hold {{ }}."},
		"match":           expressionOf("Which events this rule reads."),
		"from":            wordOf("incidents: the rule reads other rules' incidents. hops: it reads each event of a trace with the one before it. Default events.", "events", "incidents", "hops"),
		"group_by":        groupSchema(),
		"for":             durationOf("How long the condition must hold for an incident to open. Default 0."),
		"keep_firing_for": durationOf("How long the condition must not hold for the incident to resolve. Default: the window, 5m without one, 0 for absence."),
		"resolve": mappingOf("How it ends besides by itself.", object{
			"when": expressionOf("An event of the key on which this holds resolves the incident."),
			"max":  durationOf("Then it rotates into a new, linked incident. Default 24h, 0 never."),
		}, nil),
		"refire":       wordOf("edge: once until the condition was false. reset: state is cleared after firing. level: at every evaluation. Default edge.", "edge", "reset", "level"),
		"suppress":     durationOf("No new incident of the key for this long after one resolved. Default 0."),
		"update_every": durationOf("At most one growth revision per this time. Default 5m."),
		"limits": mappingOf("Bounds of the rule's state.", object{
			"groups":   intOf("Keys with state. Default 100000.", 1, maxLimit),
			"open":     intOf("Open incidents before further keys collapse into one. Default 1000.", 1, maxLimit),
			"partials": intOf("Unfinished matches of a sequence per key. Default 100.", 1, maxLimit),
		}, nil),
		"inhibited_by": listOfSchema("Rules whose open incidents keep this one's from notifying.", mappingOf("One such rule.", object{
			"rule": textOf("Id of the other rule."),
			"same": listOfSchema("Group keys that must have the same value.", object{"type": "string"}),
		}, []string{"rule"})),
		"signal":   boolOf("Recorded and readable by `from: incidents`, never notified. Default false."),
		"context":  durationOf("Other incidents that start within this long after a firing of this rule show it as context: a deploy, a change. Default 0: none do."),
		"evidence": intOf("Events an incident keeps. Default 6.", 0, maxEvidence),
		"active": mappingOf("When the rule is active; events outside do not count. Default: always.", object{
			"schedule": textOf("'Mon-Fri 08:00-18:00'; several separated by ;"),
			"timezone": ref("timezone", "Zone of the schedule. Default UTC."),
		}, []string{"schedule"}),
		"notify": mappingOf("What is notified.", object{"resolved": boolOf("Tell of the resolution. Default true.")}, nil),
	}
}

func severitySchema() object {
	step := mappingOf("A step of the ladder.", object{
		"when": expressionOf("When it applies; none: always."), "is": wordOf("How bad it is then.", severityWords...),
	}, []string{"is"})
	return object{
		"description": "How bad it is, or a ladder: the first step whose `when` holds. Default warning.",
		"oneOf":       []object{wordOf("How bad it is.", severityWords...), {"type": "array", "minItems": 1, "items": step}},
	}
}

func groupSchema() object {
	byStep := object{"type": "object", "additionalProperties": object{"$ref": "#/definitions/expression"}}
	return object{
		"description": "State is kept for each value of these: expressions, or name: expression, or name: {step: expression}.",
		"oneOf": []object{
			{"type": "array", "items": object{"$ref": "#/definitions/expression"}},
			{
				"type": "object", "propertyNames": object{"pattern": namePattern},
				"additionalProperties": object{"oneOf": []object{{"$ref": "#/definitions/expression"}, byStep}},
			},
		},
	}
}

func kindSchemas() object {
	return object{
		"event": object{"type": []string{"object", "null"}, "maxProperties": 0, "description": "Every matching event fires."},
		"threshold": mappingOf("Aggregates over one window.", object{
			"window":    windowSchema(),
			"condition": expressionOf("Over aggregates: count() >= 20, avg(http.duration_ms) > 500."),
			"clear":     expressionOf("The condition counts as true until this is. Default: not condition."),
		}, []string{"window", "condition"}),
		"absence":  absenceSchema(),
		"change":   changeSchema(),
		"temporal": temporalSchema(),
		"sequence": sequenceSchema(),
	}
}

func absenceSchema() object {
	schedule := mappingOf("By the clock.", object{
		"schedule": textOf("Five cron fields: '0 2 * * *'."),
		"timezone": ref("timezone", "Zone of the schedule. Default UTC."),
		"grace":    durationOf("How late it may be. Default 0: it is asked for before the instant."),
	}, []string{"schedule"})
	key := object{"oneOf": []object{
		{"type": []string{"string", "number", "boolean"}},
		{"type": "array", "items": object{"type": []string{"string", "number", "boolean"}}},
		{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}},
	}}
	return mappingOf("Too few events by a deadline.", object{
		"every": object{"description": "How often one must come, or a schedule.", "oneOf": []object{{"$ref": "#/definitions/duration"}, schedule}},
		"min":   intOf("How many must come. Default 1.", 1, maxLast),
		"expect": object{"description": "Keys that must report even if never seen.", "oneOf": []object{
			{"type": "string", "pattern": `^lists\.[A-Za-z_][A-Za-z0-9_]*$`, "description": "lists.NAME"},
			{"type": "array", "minItems": 1, "items": key, "description": "Each a value, a list of them in the order of group_by, or a mapping."},
		}},
		"remember":     durationOf("Keys seen this lately are expected. Default 24h, or `every` if that is longer."),
		"forget_after": durationOf("Then a silent key is dropped. Default 72h, or three times `every`."),
	}, []string{"every"})
}

func changeSchema() object {
	s := mappingOf("A value against what is remembered of it.", object{
		"of":      expressionOf("The value."),
		"detect":  wordOf("changed: another than that of the key's last event. first_seen: not seen in `memory`. flapping: `changes` within `within`. Default changed.", "changed", "first_seen", "flapping"),
		"memory":  durationOf("first_seen: how long values are remembered. Default 30d."),
		"learn":   durationOf("first_seen: values of a key's first span are learned silently. Default 0."),
		"changes": intOf("flapping: how many changes. Default 5.", 2, maxLast),
		"within":  durationOf("flapping: in which time."),
	}, []string{"of"})
	when := func(then object, words ...string) object {
		return object{"if": object{"properties": object{"detect": object{"enum": words}}, "required": []string{"detect"}}, "then": then}
	}
	flapping := without("memory", "learn")
	flapping["required"] = []string{"within"}
	s["allOf"] = []object{
		when(without("changes", "within"), "first_seen"),
		when(flapping, "flapping"),
		when(without("memory", "learn", "changes", "within"), "changed"),
		{"if": object{"not": object{"required": []string{"detect"}}}, "then": without("memory", "learn", "changes", "within")},
	}
	return s
}

func temporalSchema() object {
	return mappingOf("Several event types in one window, in any order.", object{
		"window": durationOf("Length of the window."),
		"events": object{
			"type": "object", "minProperties": 1, "propertyNames": object{"pattern": namePattern},
			"additionalProperties": object{"$ref": "#/definitions/expression"}, "description": "name: which events. Each name is its count.",
		},
		"condition": expressionOf("Over the counts. Default: every one > 0."),
	}, []string{"window", "events"})
}

func windowSchema() object {
	shape := func(doc string, properties object, required ...string) object {
		return mappingOf(doc, properties, required)
	}
	return object{"description": "Sliding by this span, or a shape.", "oneOf": []object{
		{"$ref": "#/definitions/duration"},
		shape("Slides.", object{"sliding": durationOf("Every instant looks this far back.")}, "sliding"),
		shape("Side by side.", object{
			"tumbling": durationOf("One after the other, aligned to the epoch."), "timezone": ref("timezone", "Aligned to midnight there."),
		}, "tumbling"),
		shape("Until a pause.", object{"session": durationOf("Gap that ends it."), "max": durationOf("Longest.")}, "session", "max"),
		shape("The last n.", object{"last": intOf("The last n events.", 1, maxLast)}, "last"),
		shape("From one event to another.", object{
			"start": expressionOf("Event that opens it."), "end": expressionOf("Event that closes it."), "max": durationOf("Longest."),
		}, "start", "end", "max"),
	}}
}

func sequenceSchema() object {
	times := object{"description": "How often. Default 1.", "oneOf": []object{
		intOf("Exactly so often.", 1, maxTimes),
		mappingOf("So often.", object{"min": intOf("At least. 0 is optional.", 0, maxTimes), "max": intOf("At most. Default: any number.", 1, maxTimes)}, nil),
	}}
	step := mappingOf("A step.", object{
		"name":     object{"type": "string", "pattern": namePattern, "description": "How later steps and texts call it."},
		"match":    expressionOf("Which events fill it."),
		"where":    expressionOf("May read earlier steps: deploy.attrs.version, crash.all."),
		"times":    times,
		"optional": boolOf("May be missing. Default false."),
		"greedy":   boolOf("Takes as many as it can. Default false."),
		"absent":   boolOf("Must not come. Default false."),
		"within":   durationOf("From the previous step."),
	}, []string{"name", "match"})
	step["if"] = object{"properties": object{"absent": object{"const": true}}, "required": []string{"absent"}}
	step["then"] = without("times", "optional", "greedy")
	return mappingOf("Ordered steps.", object{
		"within":     durationOf("From the first event to the last."),
		"steps":      object{"type": "array", "minItems": 1, "items": step, "description": "In order."},
		"until":      expressionOf("Cancels the key's unfinished matches."),
		"contiguity": wordOf("What other events of the key do. relaxed: they are skipped. strict: any of them ends the match. any: all combinations are found. Default relaxed.", "relaxed", "strict", "any"),
		"skip":       wordOf("Which matches go on after one. past_last: none that began before its last event. next: those that began with other events. none: all. Default past_last.", "past_last", "next", "none"),
		"on_timeout": wordOf("emit: an unfinished match is an incident too. Default ignore.", "ignore", "emit"),
	}, []string{"steps"})
}
