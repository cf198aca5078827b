# Runs whatever source the test sends: {id, code} → {id, value} or {id, error}, one JSON object a line on descriptor 3.
# The source is the body of a function.
import json
import socket

channel = socket.socket(fileno=3).makefile("rw", buffering=1)
for line in channel:
    request = json.loads(line)
    scope = {}
    try:
        body = "\n".join("    " + l for l in request["code"].split("\n"))
        exec("def run():\n" + body, scope)
        answer = {"id": request["id"], "value": scope["run"]()}
    except BaseException as e:
        answer = {"id": request["id"], "error": repr(e)}
    channel.write(json.dumps(answer) + "\n")
    channel.flush()
