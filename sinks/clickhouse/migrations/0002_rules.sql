-- The text of every version of every rule that was in force, so that an incident
-- can be explained with the rule as it was. It is small and has no TTL: a rule may
-- be loaded once and found in incidents for years.
CREATE TABLE IF NOT EXISTS {db}.rules{local}{on_cluster}
(
    rule_id    LowCardinality(String),
    rule_hash  FixedString(16) COMMENT 'of its logic, as in the incidents',
    text       String COMMENT 'YAML as it was written' CODEC(ZSTD(3)),
    rule_file  String,
    rule_line  UInt32,
    rules_gen  UInt64 COMMENT 'generation of the rule set it was loaded with',
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {replacing(}written_at)
ORDER BY (rule_id, rule_hash, text);

-- cluster:
CREATE TABLE IF NOT EXISTS {db}.rules{on_cluster} AS {db}.rules_local
ENGINE = Distributed({cluster}, {db_text}, 'rules_local', cityHash64(rule_id));
-- end
