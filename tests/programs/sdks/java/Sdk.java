// SPDX-License-Identifier: Apache-2.0
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SpanLimits;
import io.opentelemetry.sdk.trace.data.EventData;
import io.opentelemetry.sdk.trace.data.LinkData;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The Java SDK: Sdk ENCODING=ENDPOINT...; says on stdout, a line a span, what it hands to its exporters. */
public class Sdk {
	static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

	/** A value as JSON. */
	static String json(Object value) {
		StringBuilder text = new StringBuilder();
		if (value instanceof String) {
			text.append('"');
			for (char c : ((String)value).toCharArray())
				if (c == '"' || c == '\\' || c < 0x20)
					text.append(String.format("\\u%04x", (int)c));
				else
					text.append(c);
			return text.append('"').toString();
		}
		if (value instanceof Map) {
			for (Map.Entry<?, ?> e : ((Map<?, ?>)value).entrySet())
				text.append(text.length() == 0 ? "" : ",").append(json(e.getKey())).append(':').append(json(e.getValue()));
			return "{" + text + "}";
		}
		if (value instanceof List) {
			for (Object one : (List<?>)value)
				text.append(text.length() == 0 ? "" : ",").append(json(one));
			return "[" + text + "]";
		}
		return String.valueOf(value);
	}

	/** Its encoder leaves the value out where it is an empty text. */
	static Map<String, Object> plain(Attributes attributes) {
		Map<String, Object> found = new LinkedHashMap<>();
		attributes.forEach((key, value) -> found.put(key.getKey(), "".equals(value) ? null : value));
		return found;
	}

	/** As the header has it: an SDK keeps what was put last in front. */
	static String state(SpanContext context) {
		StringBuilder text = new StringBuilder();
		context.getTraceState().forEach((k, v) -> text.append(text.length() == 0 ? "" : ",").append(k).append('=').append(v));
		return text.toString();
	}

	static class Sayer implements SpanExporter {
		final String encoding;

		Sayer(String encoding) {
			this.encoding = encoding;
		}

		@Override
		public CompletableResultCode export(Collection<SpanData> spans) {
			for (SpanData s : spans) {
				Map<String, Object> line = new LinkedHashMap<>();
				List<Object> events = new ArrayList<>(), links = new ArrayList<>();
				for (EventData e : s.getEvents())
					events.add(List.of(e.getName(), e.getEpochNanos(), plain(e.getAttributes())));
				for (LinkData l : s.getLinks())
					links.add(List.of(l.getSpanContext().getTraceId(), l.getSpanContext().getSpanId(),
						state(l.getSpanContext()), plain(l.getAttributes())));
				int status = s.getStatus().getStatusCode() == StatusCode.OK ? 1 : s.getStatus().getStatusCode() == StatusCode.ERROR ? 2 : 0;
				String version = s.getInstrumentationScopeInfo().getVersion();
				line.put("encoding", encoding);
				line.put("trace", s.getTraceId());
				line.put("span", s.getSpanId());
				line.put("parent", s.getParentSpanContext().isValid() ? s.getParentSpanId() : "");
				line.put("state", state(s.getSpanContext()));
				line.put("name", s.getName());
				line.put("kind", s.getKind().ordinal() + 1);
				line.put("start", s.getStartEpochNanos());
				line.put("end", s.getEndEpochNanos());
				line.put("attributes", plain(s.getAttributes()));
				line.put("events", events);
				line.put("links", links);
				line.put("status", List.of(status, s.getStatus().getDescription()));
				line.put("scope", List.of(s.getInstrumentationScopeInfo().getName(), version == null ? "" : version));
				line.put("dropped", List.of(s.getTotalAttributeCount() - s.getAttributes().size(),
					s.getTotalRecordedEvents() - s.getEvents().size(), s.getTotalRecordedLinks() - s.getLinks().size()));
				line.put("resource", plain(s.getResource().getAttributes()));
				OUT.println(json(line));
			}
			return CompletableResultCode.ofSuccess();
		}

		@Override
		public CompletableResultCode flush() {
			return CompletableResultCode.ofSuccess();
		}

		@Override
		public CompletableResultCode shutdown() {
			return CompletableResultCode.ofSuccess();
		}
	}

	static SpanExporter exporter(String encoding, String endpoint) {
		if (encoding.equals("grpc"))
			return OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression("gzip").build();
		return OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression("gzip").build();
	}

	static void act(SdkTracerProvider provider) {
		SpanContext far = SpanContext.createFromRemoteParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7",
			TraceFlags.getSampled(), TraceState.builder().put("c", "d").put("a", "b").build());
		Tracer tracer = provider.tracerBuilder("lib.one").setInstrumentationVersion("1.2")
			.setSchemaUrl("https://example.com/schema/1").build();
		Span root = tracer.spanBuilder("outer é\u202e").setNoParent().setSpanKind(SpanKind.SERVER)
			.setAttribute("text", "é\u202e<b>☃").setAttribute("whole", Long.MIN_VALUE).setAttribute("real", 0.1)
			.setAttribute("truth", false).setAttribute(AttributeKey.stringArrayKey("texts"), List.of("a", "ü"))
			.setAttribute(AttributeKey.longArrayKey("wholes"), List.of(1L, (1L << 53) + 1))
			.setAttribute(AttributeKey.doubleArrayKey("reals"), List.of(0.5, 1.5))
			.setAttribute(AttributeKey.booleanArrayKey("truths"), List.of(true, false))
			.setAttribute(AttributeKey.stringArrayKey("none"), List.of()).setAttribute("empty", "")
			.setAttribute("long", "x".repeat(10000)).startSpan();
		for (int n = 0; n < 10; n++)
			root.addEvent("happened " + n, Attributes.builder().put("k", true).put("n", n).build(), 1_700_000_000_000_000_000L + n,
				TimeUnit.NANOSECONDS);
		Context below = Context.root().with(root);
		Span inner = tracer.spanBuilder("inner").setParent(below).setSpanKind(SpanKind.CLIENT)
			.addLink(far, Attributes.builder().put("why", "☃").build()).startSpan();
		inner.setStatus(StatusCode.ERROR, "failed ☃");
		inner.recordException(new IllegalStateException("<wrong>"));
		inner.end();
		Span sent = tracer.spanBuilder("sent").setParent(below).setSpanKind(SpanKind.PRODUCER).startSpan();
		sent.setStatus(StatusCode.OK);
		sent.end();
		root.end();
		tracer.spanBuilder("got").setParent(Context.root().with(Span.wrap(far))).setSpanKind(SpanKind.CONSUMER).startSpan().end();
		Tracer other = provider.get("lib.two");
		for (int n = 0; n < 30; n++) {
			long begun = 1_700_000_000_000_000_001L + n;
			other.spanBuilder("step " + n).setNoParent().setStartTimestamp(begun, TimeUnit.NANOSECONDS).setAttribute("n", n).startSpan()
				.end(begun + 3_600_000_000_000L, TimeUnit.NANOSECONDS);
		}
	}

	public static void main(String[] args) {
		for (String argument : args) {
			int at = argument.indexOf('=');
			String encoding = argument.substring(0, at);
			SdkTracerProvider provider = SdkTracerProvider.builder()
				.setResource(Resource.create(Attributes.builder().put("service.name", "java-" + encoding)
					.put("text", "значение ☃").put("n", 7).build()))
				.setSpanLimits(SpanLimits.builder().setMaxNumberOfEvents(8).build())
				.addSpanProcessor(SimpleSpanProcessor.create(new Sayer(encoding)))
				.addSpanProcessor(BatchSpanProcessor.builder(exporter(encoding, argument.substring(at + 1))).build()).build();
			act(provider);
			provider.shutdown().join(30, TimeUnit.SECONDS);
		}
		// The HTTP library keeps threads for a while.
		System.exit(0);
	}
}
