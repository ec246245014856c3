package rules

// schemaTestFile describes a *_test.yaml file; package ruletest reads it.
func schemaTestFile() object {
	return object{
		"$schema":     draft,
		"title":       "corral rule tests",
		"description": "Events on a virtual clock, and the exact list of incidents' revisions they lead to.",
		"type":        "object", "required": []string{"tests"}, "additionalProperties": false,
		"properties": object{
			"rules":    ref("paths", "Rule files or directories, beside this file. Default: the file of the same name without _test."),
			"start":    timeOf("Start of the virtual clock. Default 2026-01-01T00:00:00Z."),
			"lateness": durationOf("How late an event may come. Default 5s, as of `corral run`."),
			"tests":    ref("tests", "The stories."),
		},
		"definitions": testDefinitions(),
	}
}

func timeOf(doc string) object {
	return object{"type": "string", "format": "date-time", "description": doc}
}

// testDefinitions are what test files and the tests inside rules share.
func testDefinitions() object {
	return object{
		"duration": object{"type": []string{"string", "integer"}, "description": "A span: 90s, 5m, 1h30m, 7d, 2w.", "pattern": `^(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)$`, "maximum": 0},
		"paths":    object{"oneOf": []object{textOf("A path."), {"type": "array", "minItems": 1, "items": object{"type": "string"}}}},
		"tests":    object{"type": "array", "minItems": 1, "items": object{"$ref": "#/definitions/test"}},
		"test": mappingOf("One story.", object{
			"name":     textOf("What it tells."),
			"start":    timeOf("Start of the virtual clock, where it is not the file's."),
			"lateness": durationOf("How late an event may come, where it is not the file's."),
			"until":    durationOf("Where the clock stops. Default: 12 h after the last event or expectation."),
			"events":   listOfSchema("What happens, and when.", object{"oneOf": stepSchemas()}),
			"expect":   listOfSchema("All revisions there are; anything else fails the test.", expectSchema()),
		}, []string{"name", "expect"}),
	}
}

// stepSchemas are what may stand in `events`: a record, a recording, something that
// happens to the worker.
func stepSchemas() []object {
	at := durationOf("When, from the start. Default 0s.")
	return []object{
		mappingOf("A record.", object{
			"event":   object{"type": []string{"object", "string"}, "description": "What a service logs: a mapping is sent as JSON, a text as it stands."},
			"at":      at,
			"arrives": durationOf("When the worker gets it. Default: at once."),
			"repeat":  intOf("So many of them. Default 1.", 1, maxRepeat),
			"every":   durationOf("Time between them."),
		}, []string{"event"}),
		mappingOf("A recording, one record a line.", object{
			"file": textOf("Its path, beside this file."), "at": at, "arrives": durationOf("When the worker gets those that carry no time."),
		}, []string{"file"}),
		mappingOf("Something that happens to the worker.", object{
			"do": wordOf("restart: snapshot, stop, restore. reload: other rules. redeliver: everything so far comes again. drop-connection: the reader begins anew.",
				"restart", "reload", "redeliver", "drop-connection"),
			"at":    at,
			"rules": ref("paths", "What is loaded by `do: reload`."),
		}, []string{"do"}),
	}
}

const maxRepeat = 1_000_000

func expectSchema() object {
	fields := func(doc string) object {
		return object{"type": []string{"object", "null"}, "description": doc + " The fields that matter, by their names in the incident record."}
	}
	x := mappingOf("One revision.", object{
		"at":       durationOf("When, from the start. Default 0s."),
		"rule":     textOf("Id of the rule."),
		"key":      object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}, "description": "Group key. Default: any."},
		"open":     fields("The first revision."),
		"updated":  fields("One in between."),
		"resolved": fields("The last one."),
	}, []string{"rule"})
	x["oneOf"] = []object{{"required": []string{"open"}}, {"required": []string{"updated"}}, {"required": []string{"resolved"}}}
	return x
}
