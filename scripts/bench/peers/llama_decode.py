"""llama.cpp's side of the rows of decoding: its server decodes BATCH prompts at a time. Runs with a Python that has xllamacpp.

  llama_decode.py MODEL.gguf BATCH PROMPT SHORT LONG THREADS     seconds of LONG new tokens less those of SHORT
"""
import concurrent.futures
import http.client
import json
import random
import sys
import time
import urllib.parse

import xllamacpp

file, (batch, prompt, short, long, threads) = sys.argv[1], map(int, sys.argv[2:])
params = xllamacpp.CommonParams()
params.model.path = file
params.port = 0
params.n_parallel = batch
params.n_ctx = batch * (prompt + long + 16)
params.kv_unified = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.n_gpu_layers = 0
server = xllamacpp.Server(params)
address = urllib.parse.urlparse(server.listening_address)
rows = random.Random(0)
prompts = [[rows.randrange(3, 256) for _ in range(prompt)] for _ in range(batch)]


def ask(ids, n):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=3600)
    connection.request("POST", "/completion", json.dumps({
        "prompt": ids, "n_predict": n, "ignore_eos": True, "cache_prompt": False, "samplers": ["temperature"], "temperature": 1.0}),
        {"Content-Type": "application/json"})  # fmt: skip
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {body[:300]!r}")
    return json.loads(body)["tokens_predicted"]


def seconds(n):
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(batch) as pool:
        counts = list(pool.map(ask, prompts, [n] * batch))
    if counts != [n] * batch:
        raise SystemExit(f"llama.cpp wrote {counts} tokens in place of {n}")
    return time.monotonic() - start


seconds(short)  # what is made on first use
first = seconds(short)
print(json.dumps({"seconds": seconds(long) - first}), flush=True)
