package demo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"corral/correlate"
)

// sight is a line of evidence as a person wants to see it.
type sight struct {
	protocol string // REST, gRPC, NATS, or "" for a line that is none of them
	source   string // service, or what of NATS said it
	text     string
}

// signal is every field of the demo's own records, and of NATS's, that a sight is
// made of.
type signal struct {
	Service   string `json:"service.name"`
	Message   string `json:"msg"`
	Error     string `json:"error"`
	Route     string `json:"http.route"`
	Verb      string `json:"http.request.method"`
	Status    int    `json:"http.response.status_code"`
	GRPC      string `json:"grpc.service"`
	GRPCCode  string `json:"grpc.code"`
	GRPCCall  string `json:"grpc.method"`
	GRPCError string `json:"grpc.error"`
	NATS      *struct {
		Subject, Stream, Consumer string
		Seq, Deliveries           int
	} `json:"nats"`

	Type       string `json:"type"`
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	Seq        int    `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
	Reason     string `json:"reason"`
	Client     struct {
		Name, User string
	} `json:"client"`
}

// serverLine is a line of the nats-server's log; the prefix of a connection
// stays in the text, it says who it was.
var serverLine = regexp.MustCompile(`^\[\d+\] \S+ \S+ \[[A-Z]{3}\] (.*)`)

// look reads a line of evidence.
func look(line string) sight {
	if m := serverLine.FindStringSubmatch(line); m != nil {
		return sight{"NATS", "server log", m[1]}
	}
	var s signal
	if json.Unmarshal([]byte(line), &s) != nil {
		return sight{text: line}
	}
	switch {
	case s.Type != "":
		return sight{"NATS", s.Type[strings.LastIndexByte(s.Type, '.')+1:], s.advisory()}
	case s.Route != "":
		return sight{"REST", s.Service, fmt.Sprintf("%s %s → %d", s.Verb, s.Route, s.Status)}
	case s.GRPC != "":
		return sight{"gRPC", s.Service, withError(fmt.Sprintf("%s/%s → %s", s.GRPC, s.GRPCCall, s.GRPCCode), description(s.GRPCError))}
	case s.NATS != nil:
		return sight{"NATS", s.Service, withError(s.Message+" "+s.where(), s.Error)}
	}
	return sight{"", s.Service, withError(s.Message, s.Error)}
}

func (s *signal) advisory() string {
	if s.Stream != "" {
		return fmt.Sprintf("%s > %s message %d, delivery %d %s", s.Stream, s.Consumer, s.Seq, s.Deliveries, s.Reason)
	}
	return fmt.Sprintf("client %q user %q: %s", s.Client.Name, s.Client.User, s.Reason)
}

func (s *signal) where() string {
	if s.NATS.Stream == "" {
		return s.NATS.Subject
	}
	return fmt.Sprintf("(%s > %s message %d, delivery %d)", s.NATS.Stream, s.NATS.Consumer, s.NATS.Seq, s.NATS.Deliveries)
}

// description is what a gRPC error says besides its code.
func description(err string) string {
	if _, desc, ok := strings.Cut(err, " desc = "); ok {
		return desc
	}
	return err
}

func withError(text, err string) string {
	if err == "" {
		return text
	}
	return text + ": " + err
}

// protocols are those an incident's evidence shows, in the order of a request.
func protocols(tr *correlate.Transition) []string {
	var shown []string
	for _, p := range []string{"REST", "gRPC", "NATS"} {
		if slices.ContainsFunc(tr.Evidence, func(e correlate.Evidence) bool { return look(e.Line).protocol == p }) {
			shown = append(shown, p)
		}
	}
	return shown
}
