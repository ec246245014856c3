package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	ordersStream     = "ORDERS"
	acceptedSubject  = "orders.accepted"
	reserveSubject   = "inventory.reserve"
	reserveTimeout   = time.Second // orders waits so long for inventory
	ordersRPCService = "shop.v1.Orders"
)

// Order is what a customer sends and what the fulfilment consumer works on.
type Order struct {
	ID     string `json:"order_id,omitempty"`
	SKU    string `json:"sku"`
	Count  int    `json:"count"`
	ShipTo string `json:"ship_to"`
}

// orders is the gRPC service: it reserves stock over NATS request/reply and hands
// accepted orders to fulfilment through a JetStream stream.
type orders struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
	srv *grpc.Server
}

// jsonCodec carries messages as JSON: a real gRPC service without generated code.
type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
func (jsonCodec) Name() string                       { return "json" }

// ordersServer is the service as gRPC knows it.
type ordersServer interface {
	Create(ctx context.Context, o *Order) (*Order, error)
}

var ordersDesc = grpc.ServiceDesc{
	ServiceName: ordersRPCService,
	HandlerType: (*ordersServer)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Create", Handler: createHandler}},
}

func createHandler(srv any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	o := new(Order)
	if err := dec(o); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + ordersRPCService + "/Create"}
	return intercept(ctx, o, info, func(ctx context.Context, req any) (any, error) {
		return srv.(ordersServer).Create(ctx, req.(*Order))
	})
}

// startOrders serves on a loopback port until close.
func startOrders(nc *nats.Conn) (s *orders, addr string, err error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, "", fmt.Errorf("orders: %w", err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("orders: listen: %w", err)
	}
	s = &orders{nc: nc, js: js, log: newLogger(nc, "orders")}
	s.srv = grpc.NewServer(grpc.ForceServerCodec(jsonCodec{}), grpc.UnaryInterceptor(s.intercept))
	s.srv.RegisterService(&ordersDesc, s)
	go func() { _ = s.srv.Serve(lis) }() // ends with nil at close
	return s, lis.Addr().String(), nil
}

func (s *orders) close() {
	s.srv.Stop()
	s.nc.Close()
}

// intercept continues the caller's trace and logs the call with the field names
// of go-grpc-middleware.
func (s *orders) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	ctx = extract(ctx, carrier(md))
	start := time.Now()
	resp, err := handle(ctx, req)
	code := status.Code(err)
	log := traced(ctx, s.log).With(
		"protocol", "grpc", "grpc.component", "server", "grpc.service", ordersRPCService,
		"grpc.method", "Create", "grpc.code", code.String(),
		"grpc.time_ms", strconv.FormatFloat(milliseconds(start), 'f', 3, 64), "order_id", req.(*Order).ID)
	if err != nil {
		log = log.With("grpc.error", err.Error())
	}
	log.Log(ctx, callLevel(code), "finished call")
	return resp, err
}

func callLevel(code codes.Code) slog.Level {
	switch code {
	case codes.OK, codes.InvalidArgument:
		return slog.LevelInfo
	case codes.DeadlineExceeded, codes.Unavailable:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Create reserves stock and accepts the order.
func (s *orders) Create(ctx context.Context, o *Order) (*Order, error) {
	if o.ID == "" || o.SKU == "" || o.Count < 1 {
		return nil, status.Error(codes.InvalidArgument, "an order needs order_id, sku and count")
	}
	if err := s.reserve(ctx, o); err != nil {
		return nil, err
	}
	msg, err := message(ctx, acceptedSubject, o)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if _, err := s.js.PublishMsg(ctx, msg, jetstream.WithMsgID(o.ID)); err != nil {
		s.failed(ctx, o, acceptedSubject, "cannot hand order to fulfilment", err)
		return nil, status.Error(codes.Internal, "order not accepted")
	}
	return o, nil
}

// reserve asks inventory, and turns what NATS says into a gRPC status.
func (s *orders) reserve(ctx context.Context, o *Order) error {
	msg, err := message(ctx, reserveSubject, o)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	_, err = s.nc.RequestMsg(msg, reserveTimeout)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		s.failed(ctx, o, reserveSubject, "inventory request failed", err)
		return status.Error(codes.Unavailable, "inventory is not there: "+err.Error())
	case errors.Is(err, nats.ErrTimeout):
		s.failed(ctx, o, reserveSubject, "inventory request failed", err)
		return status.Error(codes.DeadlineExceeded, "inventory did not answer: "+err.Error())
	}
	s.failed(ctx, o, reserveSubject, "inventory request failed", err)
	return status.Error(codes.Internal, err.Error())
}

func (s *orders) failed(ctx context.Context, o *Order, subject, what string, err error) {
	traced(ctx, s.log).Error(what, "error", err.Error(), "order_id", o.ID,
		slog.Group("rpc", "service", ordersRPCService, "method", "Create"),
		slog.Group("nats", "subject", subject))
}

// message is an order for a subject, with the trace of ctx in its header.
func message(ctx context.Context, subject string, o *Order) (*nats.Msg, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	inject(ctx, carrier(msg.Header))
	return msg, nil
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
