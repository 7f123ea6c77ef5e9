#!/usr/bin/env python3
"""llama.cpp's server on a GGUF file, to set beside temper-serve with scripts/bench/serve.py.

    scripts/bench/peers/llama_server.py model.gguf [--port 8081] [--threads 2] [--parallel 32] [--context 512]     (xllamacpp)
"""
import argparse
import time

import xllamacpp

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--port", type=int, default=8081)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--parallel", type=int, default=32, help="answers at a time")
parser.add_argument("--context", type=int, default=512, help="tokens of each")
args = parser.parse_args()
params = xllamacpp.CommonParams()
params.model.path = args.model
params.port = args.port
params.n_parallel = args.parallel
params.n_ctx = args.parallel * args.context
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
while True:
    time.sleep(3600)
