package oracle_test

import (
	"testing"

	"corral/internal/steady"
)

func TestMain(m *testing.M) { steady.Main(m) }
