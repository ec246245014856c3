package demo

import "testing"

func TestLook(t *testing.T) {
	for line, want := range map[string]sight{
		`{"time":"2026-11-22T16:44:09Z","level":"ERROR","msg":"request","service.name":"gateway","http.request.method":"POST","http.route":"/orders","http.response.status_code":504,"rpc.service":"shop.v1.Orders"}`: {"REST", "gateway", "POST /orders → 504"},
		`{"msg":"finished call","service.name":"orders","grpc.service":"shop.v1.Orders","grpc.method":"Create","grpc.code":"OK"}`:                                                                                     {"gRPC", "orders", "shop.v1.Orders/Create → OK"},
		`{"msg":"inventory request failed","service.name":"orders","error":"nats: timeout","rpc":{"method":"Create"},"nats":{"subject":"inventory.reserve"}}`:                                                         {"NATS", "orders", "inventory request failed inventory.reserve: nats: timeout"},
		`{"msg":"cannot ship order","service.name":"inventory","nats":{"stream":"ORDERS","consumer":"fulfilment","seq":7,"deliveries":2},"error":"no courier"}`:                                                       {"NATS", "inventory", "cannot ship order (ORDERS > fulfilment message 7, delivery 2): no courier"},
		`{"type":"io.nats.jetstream.advisory.v1.max_deliver","stream":"ORDERS","consumer":"fulfilment","stream_seq":7,"deliveries":4}`:                                                                                {"NATS", "max_deliver", "ORDERS > fulfilment message 7, delivery 4 "},
		`{"type":"io.nats.server.advisory.v1.client_disconnect","client":{"name":"price-board","user":"app"},"reason":"Slow Consumer (Pending Bytes)"}`:                                                               {"NATS", "client_disconnect", `client "price-board" user "app": Slow Consumer (Pending Bytes)`},
		`[77] 2026/11/22 08:38:53.959421 [ERR] 127.0.0.1:36570 - cid:35 - authentication error - User "app"`:                                                                                                          {"NATS", "server log", `127.0.0.1:36570 - cid:35 - authentication error - User "app"`},
		`{"msg":"heartbeat","service.name":"inventory"}`: {"", "inventory", "heartbeat"},
		`{"type":"odd"}`:     {"NATS", "odd", `client "" user "": `},
		`{"msg":"cut in th`:  {text: `{"msg":"cut in th`},
		`plain text, no log`: {text: "plain text, no log"},
	} {
		if got := look(line); got != want {
			t.Errorf("look(%s)\n got %q\nwant %q", line, got, want)
		}
	}
}
