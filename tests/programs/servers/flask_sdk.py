# SPDX-License-Identifier: Apache-2.0
"""flask_sdk.py PORT UPSTREAM: a Flask application under the real OpenTelemetry SDK and its
instrumentation, exporting by OTLP/HTTP to OTEL_EXPORTER_OTLP_ENDPOINT; asks an upstream per request."""
import os
import signal
import sys

import flask
import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=300))
trace.set_tracer_provider(provider)
RequestsInstrumentor().instrument()
app = flask.Flask("middle")
FlaskInstrumentor().instrument_app(app)


@app.get("/<path:path>")
def ask(path):
    return requests.get(f"http://127.0.0.1:{sys.argv[2]}/{path}", timeout=20).text


def stop(*_):
    provider.shutdown()
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
