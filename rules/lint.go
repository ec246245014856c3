package rules

// warn reports what is allowed but hardly meant.
func (r *Rule) warn(rep *report) {
}
