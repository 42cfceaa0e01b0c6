// SPDX-License-Identifier: Apache-2.0

// The Go SDK: sdk ENCODING=ENDPOINT...; says on stdout, a line a span, what it hands to its exporters.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Field 9999, of bytes: no version of the protocol has it.
var unknown = []byte("\xfa\xf0\x04\x07unknown")

// tomorrow is a client of an SDK that knows more of the protocol than its receiver.
type tomorrow struct{ otlptrace.Client }

func (t tomorrow) UploadTraces(ctx context.Context, all []*tracepb.ResourceSpans) error {
	for _, resource := range all {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				span.ProtoReflect().SetUnknown(unknown)
			}
		}
	}
	return t.Client.UploadTraces(ctx, all)
}

func client(encoding, endpoint string) otlptrace.Client {
	if encoding == "grpc" {
		return otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(endpoint), otlptracegrpc.WithCompressor("gzip"))
	}
	return otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
}

type sayer string

func plain(all []attribute.KeyValue) map[string]any {
	found := map[string]any{}
	for _, kv := range all {
		found[string(kv.Key)] = kv.Value.AsInterface()
	}
	return found
}

func (encoding sayer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		events, links, parent := []any{}, []any{}, ""
		for _, e := range s.Events() {
			events = append(events, []any{e.Name, e.Time.UnixNano(), plain(e.Attributes)})
		}
		for _, l := range s.Links() {
			// Its encoder leaves the state of a link out.
			c := l.SpanContext
			links = append(links, []any{c.TraceID().String(), c.SpanID().String(), "", plain(l.Attributes)})
		}
		if s.Parent().HasSpanID() {
			parent = s.Parent().SpanID().String()
		}
		// The SDK's own numbers of these are not the protocol's.
		status := map[codes.Code]int{codes.Unset: 0, codes.Ok: 1, codes.Error: 2}[s.Status().Code]
		err := json.NewEncoder(os.Stdout).Encode(map[string]any{
			"encoding": encoding, "trace": s.SpanContext().TraceID().String(), "span": s.SpanContext().SpanID().String(),
			"parent": parent, "state": s.SpanContext().TraceState().String(), "name": s.Name(), "kind": int(s.SpanKind()),
			"start": s.StartTime().UnixNano(), "end": s.EndTime().UnixNano(), "attributes": plain(s.Attributes()), "events": events,
			"links": links, "status": []any{status, s.Status().Description},
			"scope":    []any{s.InstrumentationScope().Name, s.InstrumentationScope().Version},
			"dropped":  []int{s.DroppedAttributes(), s.DroppedEvents(), s.DroppedLinks()},
			"resource": plain(s.Resource().Attributes())})
		if err != nil {
			return err
		}
	}
	return nil
}

func (sayer) Shutdown(context.Context) error { return nil }

func act(provider *sdktrace.TracerProvider) {
	state, _ := trace.ParseTraceState("a=b,c=d")
	traceID, _ := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
	spanID, _ := trace.SpanIDFromHex("00f067aa0ba902b7")
	far := trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	tracer := provider.Tracer("lib.one", trace.WithInstrumentationVersion("1.2"), trace.WithSchemaURL("https://example.com/schema/1"),
		trace.WithInstrumentationAttributes(attribute.String("of", "the scope")))
	ctx, root := tracer.Start(context.Background(), "outer é\u202e", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("text", "é\u202e<b>☃"), attribute.Int64("whole", -1<<63), attribute.Float64("real", 0.1), attribute.Bool("truth", false),
		attribute.StringSlice("texts", []string{"a", "", "ü"}), attribute.Int64Slice("wholes", []int64{1, 1<<53 + 1}),
		attribute.Float64Slice("reals", []float64{0.5, 1.5}), attribute.BoolSlice("truths", []bool{true, false}),
		attribute.StringSlice("none", []string{}), attribute.String("empty", ""), attribute.String("long", strings.Repeat("x", 10000))))
	for n := 0; n < 10; n++ {
		root.AddEvent(fmt.Sprint("happened ", n), trace.WithAttributes(attribute.Bool("k", true), attribute.Int("n", n)))
	}
	_, inner := tracer.Start(ctx, "inner", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.Link{SpanContext: far, Attributes: []attribute.KeyValue{attribute.String("why", "☃")}}))
	inner.SetStatus(codes.Error, "failed ☃")
	inner.RecordError(errors.New("<wrong>"))
	inner.End()
	_, sent := tracer.Start(ctx, "sent", trace.WithSpanKind(trace.SpanKindProducer))
	sent.SetStatus(codes.Ok, "")
	sent.End()
	root.End()
	_, got := tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), far), "got", trace.WithSpanKind(trace.SpanKindConsumer))
	got.End()
	other := provider.Tracer("lib.two")
	for n := 0; n < 30; n++ {
		begun := time.Unix(1700000000, int64(n))
		_, step := other.Start(context.Background(), fmt.Sprint("step ", n), trace.WithTimestamp(begun), trace.WithAttributes(attribute.Int("n", n)))
		step.End(trace.WithTimestamp(begun.Add(time.Hour)))
	}
}

func main() {
	ctx := context.Background()
	for _, argument := range os.Args[1:] {
		encoding, endpoint, _ := strings.Cut(argument, "=")
		exporter, err := otlptrace.New(ctx, tomorrow{client(encoding, endpoint)})
		if err != nil {
			log.Fatal(err)
		}
		limits := sdktrace.NewSpanLimits()
		limits.EventCountLimit = 8
		provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(sayer(encoding)), sdktrace.WithBatcher(exporter),
			sdktrace.WithRawSpanLimits(limits), sdktrace.WithResource(resource.NewSchemaless(
				attribute.String("service.name", "go-"+encoding), attribute.String("ключ", "значение ☃"), attribute.Int("n", 7))))
		act(provider)
		if err := provider.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}
}
