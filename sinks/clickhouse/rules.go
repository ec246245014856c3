package clickhouse

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"corral/rules"
)

// Rules keeps the text of rules that are in force from now on, in the table rules,
// so that their incidents can be explained later with the rule as it was. It
// returns at once; what cannot be stored yet is tried again until Close, which
// waits for it while ClickHouse is there.
func (s *Sink) Rules(set *rules.Set, gen uint64) {
	s.texts.Go(func() {
		for wait := time.Second; s.life.Err() == nil; wait = min(2*wait, s.RetryInterval) {
			err := s.storeRules(s.life, set, gen)
			if err == nil {
				return
			}
			s.Logger.Warn("rules are not stored yet", "error", err)
			select {
			case <-s.life.Done():
			case <-time.After(wait):
			}
		}
	})
}

// awaitRules gives what is being stored its time, unless ClickHouse is away, and
// ends the sink's life.
func (s *Sink) awaitRules(d time.Duration) {
	done := make(chan struct{})
	go func() { s.texts.Wait(); close(done) }()
	if st := s.Stats(); st.Ready && !st.Failing {
		select {
		case <-done:
		case <-time.After(d):
		}
	}
	s.stop()
	<-done
}

func (s *Sink) storeRules(ctx context.Context, set *rules.Set, gen uint64) error {
	if _, err := s.client.prepare(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.InsertTimeout)
	defer cancel()
	b, err := s.client.conn.PrepareBatch(ctx, "INSERT INTO "+s.client.table(rulesTable)+" (rule_id, rule_hash, text, rule_file, rule_line, rules_gen)")
	if err != nil {
		return fmt.Errorf("insert rules: %w", err)
	}
	defer func() { _ = b.Close() }()
	for _, r := range set.Rules {
		hash, err := hex.DecodeString(r.LogicHash)
		if err != nil {
			return fmt.Errorf("hash of rule %s: %w", r.ID, err)
		}
		if err := b.Append(r.ID, string(hash), r.Text, r.File, uint32(r.Line), gen); err != nil {
			return fmt.Errorf("insert rule %s: %w", r.ID, err)
		}
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("insert rules: %w", err)
	}
	return nil
}

const rulesTable = "rules"

// RuleText is one version of a rule as it was written.
type RuleText struct {
	Text, File string
	Line       int
}

// Rule returns the text of a rule's version, by the rule_hash of its incidents;
// false if it was never stored. Of texts that say the same in other words it is
// the last one.
func (r *Reader) Rule(ctx context.Context, id, hash string) (RuleText, bool, error) {
	rows, err := r.conn.Query(ctx, "SELECT text, rule_file, rule_line FROM "+r.table(rulesTable)+" FINAL WHERE rule_id = ? AND lower(hex(rule_hash)) = ? ORDER BY written_at DESC LIMIT 1", id, hash)
	if err != nil {
		return RuleText{}, false, err
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		return RuleText{}, false, rows.Err()
	}
	var t RuleText
	var line uint32
	if err := rows.Scan(&t.Text, &t.File, &line); err != nil {
		return RuleText{}, false, err
	}
	t.Line = int(line)
	return t, true, nil
}
