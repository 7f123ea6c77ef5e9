#!/usr/bin/env python3
"""A server of the Model Context Protocol for the tests, in the standard library alone: JSON-RPC 2.0 on standard input and output.

  mcp_server.py MODE [FILE]

MODE: "good"; "mute" (answers nothing); "no_tools"; "refuses" (initialize); "no_list"; "dies_once" (at the first call of a
machine: FILE remembers it) and "dies" (at every call). Tools: echo, add, fail (isError), raise (a JSON-RPC error), hang, picture,
structured, pid, odd (a schema with a keyword that Temper does not know).
"""
import json
import os
import sys
import time

MODE = sys.argv[1]
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NONE = {"type": "object"}
TOOLS = [
    {"name": "echo", "description": "says it again", "inputSchema": TEXT},
    {"name": "add", "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                                    "required": ["a", "b"], "additionalProperties": False}},
    {"name": "fail", "inputSchema": NONE},
    {"name": "raise", "inputSchema": NONE},
    {"name": "hang", "inputSchema": NONE},
    {"name": "picture", "inputSchema": NONE},
    {"name": "structured", "inputSchema": NONE},
    {"name": "pid", "inputSchema": NONE},
    {"name": "odd", "inputSchema": {"type": "object", "properties": {"at": {"type": "string", "format": "date"}}}},
]


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def text(words, error=False):
    return {"content": [{"type": "text", "text": words}], "isError": error}


def call(name, arguments):
    if MODE == "dies" or (MODE == "dies_once" and not os.path.exists(sys.argv[2])):
        if MODE == "dies_once":
            open(sys.argv[2], "w").close()
        sys.exit(3)
    if name == "echo":
        return text(arguments["text"])
    if name == "add":
        return text(str(arguments["a"] + arguments["b"]))
    if name == "fail":
        return text("it did not work", error=True)
    if name == "hang":
        time.sleep(3600)
    if name == "picture":
        return {"content": [{"type": "text", "text": "Look:"}, {"type": "image", "data": "AA==", "mimeType": "image/png"}]}
    if name == "structured":
        return {"content": [], "structuredContent": {"a": 1}}
    if name == "pid":
        return text(str(os.getpid()))
    return text(json.dumps(arguments))


greeted = False
for line in sys.stdin:
    message = json.loads(line)
    assert message["jsonrpc"] == "2.0"
    method, number = message.get("method"), message.get("id")
    if MODE == "mute":
        continue
    if method == "initialize":
        assert message["params"]["protocolVersion"] == "2025-06-18" and message["params"]["clientInfo"]["name"] == "temper"
        if MODE == "refuses":
            send({"id": number, "error": {"code": -32602, "message": "Unsupported protocol version"}})
            continue
        print("a line that is no message")
        send({"id": number, "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                                       "serverInfo": {"name": "test", "version": "1"}}})
        send({"id": "server-1", "method": "ping"})
    elif method == "notifications/initialized":
        greeted = True
        send({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
    elif method is None:  # the answer to our ping
        assert message["id"] == "server-1" and message["result"] == {}, message
    elif not greeted:
        send({"id": number, "error": {"code": -32000, "message": "not initialized"}})
    elif method == "tools/list" and MODE != "no_list":
        begin = int(message["params"].get("cursor", "0"))  # two a page
        tools = [] if MODE == "no_tools" else TOOLS
        result = {"tools": tools[begin:begin + 2]}
        if begin + 2 < len(tools):
            result["nextCursor"] = str(begin + 2)
        send({"id": number, "result": result})
    elif method == "tools/call" and message["params"]["name"] != "raise":
        send({"id": number, "result": call(message["params"]["name"], message["params"]["arguments"])})
    else:
        send({"id": number, "error": {"code": -32601, "message": "cannot do " + method}})
