package rules

import (
	"testing"

	cases "corral/internal/steady"
)

func TestMain(m *testing.M) { cases.Main(m) }
