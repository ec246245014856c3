package jetstream

import (
	"errors"
	"testing"

	"corral/internal/natstest"
)

// TestTwoOnOneDurable: both find out that somebody else reads; what each hands over
// is in order and once all the same, and when one has gone the other reads all.
func TestTwoOnOneDurable(t *testing.T) {
	_, js := server(t)
	a, b := collect(t, js, quick("LOGS"), nil), collect(t, js, quick("LOGS"), nil)
	n := 0
	natstest.Eventually(t, "a word about it", func() bool {
		if n < 2000 {
			publish(t, js, n, 10)
			n += 10
		}
		return a.src.Stats()[0].Contested && b.src.Stats()[0].Contested
	})
	if err := b.stop(); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	a.wantSeqs(1, uint64(n))
}
