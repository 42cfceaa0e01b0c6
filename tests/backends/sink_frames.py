# SPDX-License-Identifier: Apache-2.0
"""Frames as trace writes them (user/core/frame.h), made with the official protobuf definitions."""
import itertools
import os
import struct
import time

from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

RESOURCE, SCOPE, SPAN = 1, 2, 3
SERVER, CLIENT = 2, 3


def frame(kind, body):
    return struct.pack("<IBBH", len(body), kind, 1, 0) + body


def set_value(value, plain):
    """Sets an AnyValue to a str, bool, int, float, bytes, or a list or dict of these; None leaves it empty."""
    if isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, int):
        value.int_value = plain
    elif isinstance(plain, float):
        value.double_value = plain
    elif isinstance(plain, bytes):
        value.bytes_value = plain
    elif isinstance(plain, str):
        value.string_value = plain
    elif isinstance(plain, list):
        value.array_value.SetInParent()
        for one in plain:
            set_value(value.array_value.values.add(), one)
    elif isinstance(plain, dict):
        value.kvlist_value.SetInParent()
        for key, one in plain.items():
            set_value(value.kvlist_value.values.add(key=key).value, one)


def attributes(values):
    """A list of KeyValue from a dict."""
    out = []
    for key, plain in values.items():
        out.append(common_pb2.KeyValue(key=key))
        set_value(out[-1].value, plain)
    return out


def resource(number, service="web", revision=1, **more):
    message = resource_pb2.Resource(attributes=attributes({"service.name": service, **more}))
    return frame(RESOURCE, struct.pack("<II", number, revision) + message.SerializeToString())


def scope(number=1, name="sonde", version="0.1.0"):
    message = common_pb2.InstrumentationScope(name=name, version=version)
    return frame(SCOPE, struct.pack("<I", number) + message.SerializeToString())


_ids = itertools.count(1)


def make_span(name="GET", kind=SERVER, trace_id=None, span_id=None, parent_id=b"", start_ns=None,
              duration_ns=1_500_000, status=0, **values):
    start_ns = time.time_ns() if start_ns is None else start_ns
    return trace_pb2.Span(
        trace_id=trace_id or os.urandom(16),
        span_id=span_id or struct.pack(">Q", next(_ids) << 16 | os.getpid() & 0xffff),
        parent_span_id=parent_id, name=name, kind=kind, start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + duration_ns, flags=1,
        status=trace_pb2.Status(code=status),
        attributes=attributes({k.replace("__", "."): v for k, v in values.items()}))


def span_frame(message, number=1, scope_number=1, sampled=True, raw=None, operation=None):
    head = struct.pack(
        "<16s8s8sQQQIIBBBBBB2x", message.trace_id, message.span_id,
        message.parent_span_id or bytes(8), message.start_time_unix_nano,
        message.end_time_unix_nano - message.start_time_unix_nano,
        operation if operation is not None else hash((number, message.kind, message.name)) & (2**64 - 1),
        number, scope_number, message.kind, message.status.code, 1, int(sampled), 1, 100)
    body = raw if raw is not None else message.SerializeToString()
    return frame(SPAN, head + (body if sampled else b""))


def http_span(path="/", method="GET", status_code=200, kind=SERVER, **more):
    values = {"http.request.method": method, "url.path": path, "url.scheme": "http",
              "http.response.status_code": status_code, "network.peer.address": "127.0.0.1",
              "network.peer.port": 40000, "server.address": "localhost", "server.port": 8080}
    extra = {k: v for k, v in more.items() if "." in k or "__" in k}
    rest = {k: v for k, v in more.items() if k not in extra}
    if kind == CLIENT:
        values["url.full"] = f"http://localhost:8080{path}"
        del values["url.path"]
    if status_code >= 500:
        values["error.type"] = str(status_code)
        rest.setdefault("status", 2)
    values.update({k.replace("__", "."): v for k, v in extra.items()})
    message = make_span(name=method, kind=kind, **rest)
    message.attributes.extend(attributes(values))
    return message
