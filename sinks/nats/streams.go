package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// duplicateWindow is how long a stream remembers message ids: longer than an
	// outage after which a worker publishes again what it may have published.
	// Incidents are few; the ids cost the server some megabytes at most.
	duplicateWindow = 30 * time.Minute
	defaultAge      = 30 * 24 * time.Hour
	openMirror      = "INCIDENTS_OPEN"
	patience        = 5  // tries with a server on which nobody answers for JetStream
	longPatience    = 12 // tries with a cluster of which too few servers are there
)

// streams are those that have to exist.
func (o *Options) streams() (configs []jetstream.StreamConfig) {
	if o.Incidents != "" {
		configs = append(configs, o.stream(o.Incidents))
	}
	if o.Alerts != "" {
		configs = append(configs, o.stream(o.Alerts))
	}
	if o.Open && o.Incidents != "" {
		configs = append(configs, o.mirror())
	}
	return configs
}

func (o *Options) stream(prefix string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        streamName(prefix),
		Description: "corral: revisions of incidents as CloudEvents",
		Subjects:    []string{prefix + ".>"},
		MaxAge:      cmp.Or(o.MaxAge, defaultAge),
		Duplicates:  min(duplicateWindow, cmp.Or(o.MaxAge, defaultAge)),
		Replicas:    max(o.Replicas, 1),
		Compression: jetstream.S2Compression,
		AllowDirect: true,
	}
}

// mirror keeps the last revision of each fingerprint. A resolved one goes when
// it is old; an open incident rotates long before.
func (o *Options) mirror() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              openMirror,
		Description:       "corral: the last revision of each incident",
		Mirror:            &jetstream.StreamSource{Name: streamName(o.Incidents)},
		MaxMsgsPerSubject: 1,
		MaxAge:            cmp.Or(o.MaxAge, defaultAge),
		Replicas:          max(o.Replicas, 1),
		AllowDirect:       true,
		MirrorDirect:      true,
	}
}

// streamName is INCIDENTS of incident.v1, ALERTS of alert.v1, ALERT-REPLAYS of
// alert-replay.v1.
func streamName(prefix string) string {
	first, version, _ := strings.Cut(prefix, ".")
	name := strings.ToUpper(token(first)) + "S"
	if version != "" && version != "v1" {
		name += "_" + strings.ToUpper(token(version))
	}
	return name
}

// ensure creates the streams that are missing, trying while the server is not
// able to.
func (p *publisher) ensure(ctx context.Context) error {
	for try := 0; ; try++ {
		err := p.ensureOnce(ctx)
		if err == nil || cannotHelp(err) || errors.Is(err, nats.ErrNoResponders) && try == patience || tooFewPeers(err) && try == longPatience {
			return err
		}
		p.log.Warn("create streams, trying again", "error", err)
		if werr := p.backoff.Wait(ctx, try); werr != nil {
			return errors.Join(werr, err)
		}
	}
}

func (p *publisher) ensureOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*p.timeout)
	defer cancel()
	for _, config := range p.streams {
		if err := p.ensureStream(ctx, config); err != nil {
			return fmt.Errorf("create stream %s: %w", config.Name, err)
		}
	}
	return nil
}

// ensureStream leaves alone what is there: a stream of any name that holds the
// subjects, or one of that name that the operator made differently.
func (p *publisher) ensureStream(ctx context.Context, config jetstream.StreamConfig) error {
	if config.Mirror == nil {
		err := p.holder(ctx, example(config.Subjects[0]))
		if errors.Is(err, errMayNot) {
			p.log.Warn("taken for granted that there is a stream", "subjects", config.Subjects, "error", err)
			return nil
		}
		if err == nil || !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
	}
	err := p.ask(ctx, "STREAM.CREATE", func(ctx context.Context) error {
		_, err := p.js.CreateStream(ctx, config)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) && config.Mirror != nil {
		return nil
	}
	if err == nil {
		p.log.Info("stream created", "stream", config.Name, "replicas", config.Replicas)
	}
	return err
}

// example is a subject that a filter ending in > matches.
func example(filter string) string { return strings.TrimSuffix(filter, ">") + "none.none.none" }

// noJetStream reports whether err says that there is none, here or for us.
func noJetStream(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// cannotHelp reports whether trying again is of no use.
func cannotHelp(err error) bool {
	if noJetStream(err) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, errMayNot) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code >= 400 && api.Code < 500 && !tooFewPeers(err)
}

// tooFewPeers reports whether a cluster has not enough servers for the replicas,
// at the moment.
func tooFewPeers(err error) bool {
	const noSuitablePeers = 10005
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == noSuitablePeers
}
