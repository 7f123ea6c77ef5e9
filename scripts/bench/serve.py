#!/usr/bin/env python3
"""Speed of an OpenAI server that runs: tokens a second and latency for so many clients at a time, and its memory over many requests.

  build/bin/temper-serve --model DIR --port 8080 &
  scripts/bench/serve.py http://127.0.0.1:8080/v1 [--clients 1,8,32] [--seconds 20] [--tokens 64] [--model NAME]
  scripts/bench/serve.py http://127.0.0.1:8080/v1 --requests 10000 --pid PID       memory after every tenth of them

The same command for another server's address, such as llama-cpp-python's, gives the figures to set beside these:
  python -m llama_cpp.server --model model.gguf --port 8081 --n_threads CORES
Every request streams its answer to another question, of at most --tokens tokens. Needs no packages.
"""

import argparse
import http.client
import json
import threading
import time
import urllib.parse


def ask(url, model, question, tokens):
    """(seconds to the first words, seconds to the end, pieces, which are tokens but for those that wait for another)"""
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "stream": True, "temperature": 1.0}
    if model:
        body["model"] = model
    start, first, pieces = time.monotonic(), None, 0
    connection.request("POST", url.path + "/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.read().decode()[:300]}")
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        if any(choice["delta"].get("content") for choice in json.loads(line[6:])["choices"]):
            first = first or time.monotonic()
            pieces += 1
    connection.close()
    end = time.monotonic()
    return (first or end) - start, end - start, pieces


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def load(url, args, clients, go_on):
    """What came of requests that so many clients made, each one after the other, while go_on() says so."""
    done, failures, lock, number = [], [], threading.Lock(), [0]

    def client():
        while True:
            with lock:
                number[0] += 1
                mine = number[0]
            if failures or not go_on(mine):
                return
            try:
                done.append(ask(url, args.model, f"Tell me something about the number {mine}.", args.tokens))
            except (OSError, http.client.HTTPException, RuntimeError) as e:
                failures.append(e)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"{len(failures)} requests failed, the first with {failures[0]!r}")
    return done, time.monotonic() - start


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--pid", type=int)
    args = parser.parse_args()
    url = urllib.parse.urlparse(args.url.rstrip("/"))
    ask(url, args.model, "Hello.", 4)
    if args.requests:
        tenth = max(1, args.requests // 10)
        for part in range(10):
            load(url, args, 16, lambda mine: mine <= tenth)
            print(f"{(part + 1) * tenth:>8} requests  {resident_mb(args.pid):.1f} MB resident", flush=True)
        return
    print("clients  tokens/s  requests/s  first piece s (median, 95 %)  whole s (median, 95 %)")
    for clients in map(int, args.clients.split(",")):
        end = time.monotonic() + args.seconds
        done, seconds = load(url, args, clients, lambda _: time.monotonic() < end)
        first, whole = [d[0] for d in done], [d[1] for d in done]
        print(f"{clients:>7}  {sum(d[2] for d in done) / seconds:>8.1f}  {len(done) / seconds:>10.2f}  "
              f"{quantile(first, 0.5):>13.2f} {quantile(first, 0.95):>10.2f}  {quantile(whole, 0.5):>14.2f} {quantile(whole, 0.95):>8.2f}", flush=True)


if __name__ == "__main__":
    main()
