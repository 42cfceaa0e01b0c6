# SPDX-License-Identifier: Apache-2.0
"""flask_sdk.py PORT UPSTREAM: a Flask application under the real OpenTelemetry SDK and its
instrumentation, exporting by OTEL_EXPORTER_OTLP_PROTOCOL to OTEL_EXPORTER_OTLP_ENDPOINT; asks an
upstream per request, for /leaf/... nobody, for /plain/... by a client that is not instrumented."""
import base64
import json
import os
import signal
import sys
import urllib.request

import flask
import requests
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def json_exporter():
    """The SDK for Python has none: its own messages, in the form that other SDKs send by default."""
    from google.protobuf import json_format
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    def official(node, key=""):
        if isinstance(node, dict):
            return {k: official(v, k) for k, v in node.items()}
        if isinstance(node, list):
            return [official(v) for v in node]
        return base64.b64decode(node).hex() if key in ("traceId", "spanId", "parentSpanId") else node

    class Exporter(SpanExporter):
        def export(self, spans):
            message = json_format.MessageToDict(encode_spans(spans), use_integers_for_enums=True)
            urllib.request.urlopen(urllib.request.Request(
                os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces", json.dumps(official(message)).encode(),
                {"Content-Type": "application/json"}), timeout=20).read()
            return SpanExportResult.SUCCESS

    return Exporter()


def exporter():
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol == "http/json":
        return json_exporter()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter()


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter(), schedule_delay_millis=300))
trace.set_tracer_provider(provider)
RequestsInstrumentor().instrument()
app = flask.Flask("middle")
FlaskInstrumentor().instrument_app(app)


@app.get("/leaf/<path:path>")
def leaf(path):
    return path


@app.get("/plain/<path:path>")
def plain(path):
    return urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/{path}", timeout=20).read()


@app.get("/<path:path>")
def ask(path):
    return requests.get(f"http://127.0.0.1:{sys.argv[2]}/{path}", timeout=20).text


def stop(*_):
    provider.shutdown()
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
