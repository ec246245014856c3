package nats

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"corral/ingest/decode"
)

// Every error that the server of this suite can answer with is explained.
func TestErrCodesAreThoseOfTheServer(t *testing.T) {
	if len(server.ApiErrors) < 200 {
		t.Fatalf("the server has %d errors", len(server.ApiErrors))
	}
	for _, e := range server.ApiErrors {
		if text, ok := decode.ErrCode(int(e.ErrCode)); !ok || text == "" {
			t.Errorf("%d %s is not explained: go generate ./ingest/decode, or say what it means there", e.ErrCode, e.Description)
		}
	}
}
