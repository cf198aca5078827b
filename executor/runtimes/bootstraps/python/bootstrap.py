"""Kiln's Python worker: boots, says so, waits for the hand-over, loads the code, then answers events one at a time.

Frames on descriptor 3: length (4 bytes, big-endian), type (1), number (4, an answer repeats its invoke frame's), payload. Log records on descriptor 4: length (4), level (1),
kind (1), time in ms (double), text. A waiting read IS the idle worker.
"""
import json
import os
import struct
import sys
import time

CHANNEL = 3
RECORDS = 4
HEADER = struct.Struct(">IBI")
RECORD = struct.Struct(">IBBd")
SIZES = struct.Struct(">H")
DEADLINE = struct.Struct(">d")
TRACE = b"_X_AMZN_TRACE_ID"
BOOTED, HAND_OVER, LOADED, LOAD_FAILED, INVOKE, RESPONSE, ERROR = b"BHLFIRE"


class Fault(Exception):
    """An error of one of the runtime's own types."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class Channel:
    def __init__(self):
        self.rest = b""
        self.number = 0

    def _some(self, n):
        data = os.read(CHANNEL, n)
        if not data:
            os._exit(0)  # Kiln has gone
        return data

    def read(self):
        """Waits for the next frame: (type, payload)."""
        data = self.rest or self._some(65536)
        while len(data) < HEADER.size:
            data += self._some(65536)
        length, kind, self.number = HEADER.unpack_from(data)
        end = HEADER.size + length
        if len(data) < end:
            parts, got = [data], len(data)
            while got < end:
                parts.append(self._some(min(end - got, 1 << 20)))
                got += len(parts[-1])
            data = b"".join(parts)
        self.rest = data[end:]
        return kind, data[HEADER.size:end]

    def write(self, kind, payload):
        write_all(CHANNEL, HEADER.pack(len(payload), kind, self.number) + payload)


def write_all(fd, data):
    n = os.write(fd, data)
    if n < len(data):
        view = memoryview(data)
        while n < len(data):
            n += os.write(fd, view[n:])


def record(level, kind, text):
    """Writes one log record; kind 1 is Kiln's own word about the worker."""
    body = text.encode("utf-8", "replace")
    try:
        write_all(RECORDS, RECORD.pack(len(body), level, kind, time.time() * 1000) + body)
    except OSError:
        pass  # the function closed the descriptor: its output is lost, its answers are not


class Context:
    """What a handler gets as its second argument."""

    def __init__(self, fn, request_id, arn, client_context, deadline):
        self.aws_request_id = request_id
        self.log_group_name = fn["group"]
        self.log_stream_name = fn["stream"]
        self.function_name = fn["name"]
        self.memory_limit_in_mb = fn["memory"]
        self.function_version = fn["version"]
        self.invoked_function_arn = arn
        self.tenant_id = None
        self.client_context = ClientContext(json.loads(client_context)) if client_context else None
        self.identity = Identity()
        self._deadline = deadline

    def get_remaining_time_in_millis(self):
        return max(int(self._deadline - time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext([aws_request_id=%s,log_group_name=%s,log_stream_name=%s,function_name=%s,memory_limit_in_mb=%s,function_version=%s,invoked_function_arn=%s,client_context=%s,identity=%s])" % (
            self.aws_request_id, self.log_group_name, self.log_stream_name, self.function_name, self.memory_limit_in_mb,
            self.function_version, self.invoked_function_arn, self.client_context, self.identity)


class Identity:
    cognito_identity_id = None
    cognito_identity_pool_id = None


class Client:
    def __init__(self, values):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, values.get(name))


class ClientContext:
    def __init__(self, values):
        self.client = Client(values.get("client") or {})
        self.custom = values.get("custom")
        self.env = values.get("env")


class State:
    """The invocation that runs now, for log records."""

    request_id = None
    as_json = False


def install_logging(h):
    """Gives the root logger AWS's handler: records on descriptor 4, with the request id."""
    import logging

    logging.Formatter.converter = time.gmtime
    State.as_json = h["logFormat"] == "JSON"
    plain = logging.Formatter("%(message)s")
    known = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "aws_request_id", "taskName"}

    class Handler(logging.Handler):
        def emit(self, r):
            r.aws_request_id = State.request_id or ""
            if State.as_json:
                text = json_record(r, known, self.formatter or plain)
            else:
                text = (self.formatter or plain).format(r)
            record(level_of(r.levelno), 0, text)

    root = logging.getLogger()
    root.addHandler(Handler())
    if State.as_json:
        root.setLevel({"TRACE": 5, "WARN": 30, "FATAL": 50}.get(h["logLevel"], getattr(logging, h["logLevel"] or "INFO", 20)))


def level_of(number):
    for least, level in ((50, 6), (40, 5), (30, 4), (20, 3), (10, 2)):
        if number >= least:
            return level
    return 1


def json_record(r, known, formatter):
    line = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(r.created)) + ".%03dZ" % r.msecs,
        "level": r.levelname,
        "message": r.getMessage(),
        "logger": r.name,
    }
    if State.request_id:
        line["requestId"] = State.request_id
    if r.exc_info and r.exc_info[0]:
        line["errorType"] = r.exc_info[0].__name__
        line["errorMessage"] = str(r.exc_info[1])
        line["stackTrace"] = formatter.formatException(r.exc_info).split("\n")
        line["location"] = "%s:%s:%d" % (r.pathname, r.funcName, r.lineno)
    line.update((k, v) for k, v in r.__dict__.items() if k not in known and not k.startswith("_"))
    return json.dumps(line, ensure_ascii=False, default=repr)


def failure(kind, message, trace):
    """Logs an error that ended an invocation or the loading of the code."""
    if State.as_json:
        text = json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "log_level": "ERROR", "level": "ERROR",
                           "errorMessage": message, "errorType": kind, "requestId": State.request_id or "", "stackTrace": trace})
    elif trace:
        text = "%s: %s\nTraceback (most recent call last):\n%s" % (kind, message, "".join(trace))
    else:
        text = "%s: %s" % (kind, message)
    record(5, 0, text.rstrip("\n"))


def describe(e):
    """(type, message, frames) of an exception, without Kiln's own frames."""
    if isinstance(e, Fault):
        return e.kind, str(e), e.trace
    import traceback

    frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename != __file__ and not f.filename.startswith("<frozen importlib")]
    try:
        message = str(e)
    except Exception:
        message = "the error cannot be shown"
    return type(e).__name__, message, traceback.format_list(frames)


def error_bytes(e, request_id):
    kind, message, trace = describe(e)
    failure(kind, message, trace)
    return json.dumps({"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}).encode("utf-8", "replace")


def load(handler):
    import importlib

    try:
        module_name, name = handler.rsplit(".", 1)
    except ValueError as e:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (handler, e))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e), describe(e)[2])
    except SyntaxError as e:
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e),
                    ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, e.text)])
    try:
        return getattr(module, name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (name, module_name))


def adopt(h):
    """Becomes the function's process: environment, folder, path, logging."""
    os.environ.clear()
    os.environ.update(h["env"])
    time.tzset()
    os.chdir(h["task"])
    version = "python%d.%d" % sys.version_info[:2]
    layers = [os.path.join(h["opt"], "python", "lib", version, "site-packages"), os.path.join(h["opt"], "python")]
    extra = [p for p in h["env"].get("PYTHONPATH", "").split(":") if p and p not in sys.path]
    sys.path[0:1] = [h["task"]] + layers + extra  # the first entry was this file's folder
    sys.path_importer_cache.clear()
    for out in (sys.stdout, sys.stderr):
        out.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)
    install_logging(h)


def hand_over(channel, payload):
    h = json.loads(payload)
    try:
        adopt(h)
        handler = load(h["handler"])
        if not callable(handler):
            raise Fault("Runtime.HandlerNotFound", "Handler '%s' is not callable" % h["handler"])
    except BaseException as e:  # SystemExit of a module too
        if isinstance(e, SystemExit):
            flush()
            os._exit(exit_code(e))
        channel.write(LOAD_FAILED, error_bytes(e, ""))
        flush()
        os._exit(1)
    flush()
    channel.write(LOADED, b"")
    return h, handler


def exit_code(e):
    if e.code is None:
        return 0
    return e.code & 0xFF if isinstance(e.code, int) else 1


def flush():
    for out in (sys.stdout, sys.stderr):
        try:
            out.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed or replaced by the function


class Decoder:
    """Reads an invoke frame."""

    def __init__(self, payload):
        self.payload = payload
        self.at = 8
        self.deadline = DEADLINE.unpack_from(payload)[0]
        self.request_id = self._text()
        self.arn = self._text()
        self.trace = self._text()
        self.client_context = self._text()

    def _text(self):
        n = SIZES.unpack_from(self.payload, self.at)[0]
        start = self.at + 2
        self.at = start + n
        return self.payload[start:self.at].decode()


def decimal_as_float(o):
    decimal = sys.modules.get("decimal")
    if decimal and isinstance(o, decimal.Decimal):
        return float(o)
    raise TypeError("Object of type %s is not JSON serializable" % type(o).__name__)


def encode(result, h):
    try:
        body = json.dumps(result, ensure_ascii=h["ascii"], default=decimal_as_float).encode("utf-8", "surrogatepass")
    except Exception as e:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % e)
    if len(body) > h["limit"]:
        raise Fault("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (%d bytes)." % h["limit"])
    return body


def set_trace(trace):
    """Past putenv: the C library keeps every value that it was ever given, and each invocation has a new one."""
    if trace:
        os.environ._data[TRACE] = os.environ.encodevalue(trace)
    else:
        os.environ._data.pop(TRACE, None)


def run(channel, h, handler, payload):
    inv = Decoder(payload)
    State.request_id = inv.request_id
    set_trace(inv.trace)
    try:
        try:
            event = json.loads(payload[inv.at:])
        except ValueError as e:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e)
        body = encode(handler(event, Context(h, inv.request_id, inv.arn, inv.client_context, inv.deadline)), h)
    except SystemExit as e:
        flush()
        os._exit(exit_code(e))
    except BaseException as e:
        body = error_bytes(e, inv.request_id)
        flush()
        channel.write(ERROR, body)
        return
    flush()
    channel.write(RESPONSE, body)


def preload():
    """Loads what most functions want, while the pool has the time; not more, because an idle worker shall stay below 10 MB."""
    import base64, datetime, hashlib, http.client, importlib, logging, re, traceback  # noqa: F401, E401


def main():
    preload()
    channel = Channel()
    channel.write(BOOTED, b"")
    kind, payload = channel.read()
    if kind != HAND_OVER:
        os._exit(2)
    h, handler = hand_over(channel, payload)
    minor = h["runtime"].rpartition(".")[2]
    h["ascii"] = minor.isdigit() and int(minor) < 12  # AWS escapes before Python 3.12
    while True:
        kind, payload = channel.read()
        if kind != INVOKE:
            os._exit(2)
        run(channel, h, handler, payload)


main()
