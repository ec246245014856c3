package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// callDeadline is what the gateway gives a gRPC call. It is longer than
// reserveTimeout, so that orders can say what it waited for.
const callDeadline = 1500 * time.Millisecond

// gateway is the REST end: POST /orders becomes a gRPC call.
type gateway struct {
	nc     *nats.Conn
	log    *slog.Logger
	orders *grpc.ClientConn
	srv    *http.Server
}

// startGateway serves on a loopback port until close. nc carries its log only.
func startGateway(nc *nats.Conn, ordersAddr string) (g *gateway, url string, err error) {
	conn, err := grpc.NewClient("passthrough:///"+ordersAddr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(jsonCodec{})))
	if err != nil {
		return nil, "", fmt.Errorf("gateway: orders client: %w", err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = conn.Close()
		return nil, "", fmt.Errorf("gateway: listen: %w", err)
	}
	g = &gateway{nc: nc, log: newLogger(nc, "gateway"), orders: conn}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", g.createOrder)
	g.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = g.srv.Serve(lis) }() // ends with ErrServerClosed at close
	return g, "http://" + lis.Addr().String(), nil
}

func (g *gateway) close() {
	_ = g.srv.Close()
	_ = g.orders.Close()
	g.nc.Close()
}

// createOrder answers with the order's id, or with the HTTP status that the gRPC
// status means; either way there is one access record that names both.
func (g *gateway) createOrder(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	ctx := extract(r.Context(), propagation.HeaderCarrier(r.Header))
	order, code, err := g.call(ctx, r)
	httpStatus := httpStatus(code)
	g.answer(w, httpStatus, order, err)

	log := traced(ctx, g.log).With(
		"http.request.method", r.Method, "http.route", "/orders", "http.response.status_code", httpStatus,
		"url.path", r.URL.Path, "client.address", r.RemoteAddr, "duration_ms", milliseconds(start),
		"rpc.system", "grpc", "rpc.service", ordersRPCService, "rpc.method", "Create", "rpc.grpc.status_code", int(code),
		"order_id", order.ID)
	if err != nil {
		log = log.With("error", err.Error())
	}
	log.Log(ctx, accessLevel(httpStatus), "request")
}

func (g *gateway) call(ctx context.Context, r *http.Request) (Order, codes.Code, error) {
	var order Order
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&order); err != nil {
		return order, codes.InvalidArgument, fmt.Errorf("read order: %w", err)
	}
	order.ID = cmp.Or(order.ID, "o-"+nuid.Next()[12:])
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	md := metadata.MD{}
	inject(ctx, carrier(md))
	err := g.orders.Invoke(metadata.NewOutgoingContext(ctx, md), "/"+ordersRPCService+"/Create", &order, new(Order))
	return order, status.Code(err), err
}

func (g *gateway) answer(w http.ResponseWriter, httpStatus int, order Order, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	body := map[string]string{"order_id": order.ID}
	if err != nil {
		body = map[string]string{"error": status.Convert(err).Message()}
	}
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

func httpStatus(code codes.Code) int {
	switch code {
	case codes.OK:
		return http.StatusAccepted
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

func accessLevel(httpStatus int) slog.Level {
	if httpStatus >= 500 {
		return slog.LevelError
	}
	return slog.LevelInfo
}
