package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load sends orders to the gateway at a steady rate, whether they are answered or
// not, as customers do.
type load struct {
	url    string
	client *http.Client
	slots  chan struct{}
	inARow atomic.Int64 // orders accepted since the last one that was not
}

var goods = []Order{
	{SKU: "kettle", Count: 1, ShipTo: "Berlin"},
	{SKU: "lamp", Count: 2, ShipTo: "Lisbon"},
	{SKU: "chair", Count: 4, ShipTo: "Oslo"},
}

func newLoad(gatewayURL string) *load {
	return &load{
		url: gatewayURL + "/orders", slots: make(chan struct{}, 64),
		client: &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		},
	}
}

// run sends rate orders a second until ctx is done.
func (l *load) run(ctx context.Context, rate int) {
	var inFlight sync.WaitGroup
	defer l.client.CloseIdleConnections()
	defer inFlight.Wait()
	t := time.NewTicker(time.Second / time.Duration(rate))
	defer t.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		select {
		case l.slots <- struct{}{}:
		default: // everybody waits for an answer
			continue
		}
		order := goods[i%len(goods)]
		inFlight.Go(func() {
			defer func() { <-l.slots }()
			l.count(l.send(ctx, order))
		})
	}
}

// send posts one order and returns the HTTP status, 0 if there was no answer.
func (l *load) send(ctx context.Context, o Order) int {
	body, err := json.Marshal(o)
	if err != nil {
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // lets the connection be used again
	return resp.StatusCode
}

func (l *load) count(httpStatus int) {
	if httpStatus != http.StatusAccepted {
		l.inARow.Store(0)
		return
	}
	l.inARow.Add(1)
}
