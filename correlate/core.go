package correlate

// ruleState is all state of one rule.
type ruleState struct{}

func (r *ruleState) fire(c *call, f firing)      {}
func (r *ruleState) hold(c *call)                {}
func (r *ruleState) release(c *call, last int64) {}
func (r *ruleState) end(c *call, cause string)   {}
