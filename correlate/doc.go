// Package correlate is the engine: it keeps the state of every rule and key and
// turns matched events into transitions of incidents. It has no clock,
// goroutine, I/O, lock or logger: time is an argument, and the same inputs give
// the same transitions, in a stream, a file, a replay or a test.
//
// # How an event goes through
//
//	Push ─▶ reorder ─Advance─▶ dedup ─▶ ruleState (one per rule) ─▶ stage ─▶ emit
//
// A ruleState is everything of one rule: a directory of its keys, for each key a
// machine (its condition: machine.go) and maybe an episode (its incident:
// episode.go), timers, the past. Rules share nothing, so they may run side by
// side. What they have to do with each other is the stage's, which works on
// their transitions instant by instant: rules over incidents, inhibition, who is
// told.
//
// Timers at one instant come after all events of it, in the order: `for` is
// over; what leaves a window, ends a step or passes a deadline; resolve;
// rotation. A call on a key (an event or its timers of an instant) makes one
// revision at most, beside a resolve.
//
// # Where docs/rules.md leaves room
//
//   - The events of an episode are those from its first event on in event order,
//     so of several at one instant only that and later ones count.
//   - A condition that an event at t makes false was last true at t.
//   - Nothing is true of an empty window that goes on. One that ends empty (from
//     start to end; tumbling, if previous(…) is read) started with the window.
//   - `resolve.when` ends the episode after its event has taken effect, and the
//     key starts anew: what was before it does not make the next incident.
//   - `suppress` includes its last instant; a condition that lasts opens an
//     incident then.
//   - previous(…) is nil while the key's first event is still in the window
//     itself: there is no history, and nothing to compare with. A key of which
//     both windows are empty is forgotten: its next event is a first one.
//     baseline(…) is the mean over the past windows that had events.
//   - flapping rests on all its changes: it started with the first of them.
//   - A window from start to end is opened and closed by the events named, whether
//     or not `match` counts them; at its end it is decided even if it is empty.
//   - `contiguity: strict` is among the events that `match` holds for.
//   - `refire: level` tells every event that finds the condition true, not what
//     leaves a window; matches that one event completes are firings each.
//   - limits.groups forgets the key that has been silent longest and has no open
//     incident; limits.open counts all keys of the rule. Collapsed keys keep
//     their episodes, unseen, and the collapsed incident is over with the last.
//   - The severity ladder is looked at whenever the condition is found true.
//   - An inhibiting incident counts from opened_at until just before resolved_at.
//   - recurrence counts the episodes of a fingerprint until 30 days pass without
//     one; a rotation does not count.
//   - A rule over incidents does not read its own, and chains end at depth eight.
//   - Of a count beyond 65,536 events in a window (or four times the condition's
//     number) the older ones leave in small groups: what is decided is exact, the
//     count shown may be off by a group, and the incident says so.
package correlate
