"""Talks to a temper-serve that runs with OpenAI's own Python client: what it parses, and what it raises.

  temper-serve --model DIR --adapter tuned=ADAPTER --port 8080 &
  python scripts/oracles/openai_client.py http://127.0.0.1:8080/v1 [--adapter ADAPTER] [--key KEY]     needs openai

With --adapter an adapter of that folder comes and goes as "fresh". Prints a line a check; exit code 1 when one fails.
"""

import argparse
import json
import sys

import httpx
import openai

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city", "days"],
        },
    },
}
MESSAGES = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "What is 2 + 3?"}]


def chat(client, model, **more):
    return client.chat.completions.create(**{"model": model, "messages": MESSAGES, "max_tokens": 32, **more})


def whole_and_pieces(client, model):
    """A chat, its usage, and the same in pieces."""
    whole = chat(client, model, seed=1, n=2)
    assert whole.object == "chat.completion" and len(whole.choices) == 2, whole
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.usage.prompt_tokens_details.cached_tokens >= 0
    texts, finishes, usage = ["", ""], [None, None], None
    for piece in chat(client, model, seed=1, n=2, stream=True, stream_options={"include_usage": True}):
        usage = piece.usage or usage
        for choice in piece.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes[choice.index] = choice.finish_reason or finishes[choice.index]
    assert texts == [choice.message.content for choice in whole.choices], (texts, whole)
    assert finishes == [choice.finish_reason for choice in whole.choices]
    assert usage.completion_tokens == whole.usage.completion_tokens
    again = chat(client, model, seed=1, n=2)
    assert [c.message.content for c in again.choices] == texts


def logprobs(client, model):
    """Log-probs in both forms."""
    answer = chat(client, model, temperature=0, logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert bytes(b for token in tokens for b in token.bytes).decode(errors="replace").strip() == answer.choices[0].message.content.strip()
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    plain = client.completions.create(model=model, prompt="2 + 3 =", max_tokens=8, temperature=0, logprobs=2)
    told = plain.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == len(told.top_logprobs), told


def tools(client, model):
    """A call that has to be one, whole and in pieces, and its result sent back."""
    answer = chat(client, model, seed=1, tools=[TOOL], tool_choice="required", max_tokens=200)
    call = answer.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "weather" and arguments["city"] in ("Paris", "Oslo") and 1 <= arguments["days"] <= 9, call
    assert answer.choices[0].finish_reason == "tool_calls"
    streamed = [c for p in chat(client, model, seed=1, tools=[TOOL], tool_choice="required", max_tokens=200, stream=True) for c in p.choices]
    calls = [c for choice in streamed for c in choice.delta.tool_calls or []]
    assert calls[0].function.arguments == call.function.arguments and streamed[-1].finish_reason == "tool_calls"
    more = MESSAGES + [answer.choices[0].message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert client.chat.completions.create(model=model, messages=more, max_tokens=8, tools=[TOOL]).choices


def shapes(client, model):
    """An answer that fits a schema."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    answer = chat(client, model, seed=1, response_format=form, max_tokens=100).choices[0]
    assert answer.finish_reason == "length" or 0 <= json.loads(answer.message.content)["n"] <= 9, answer
    assert chat(client, model, seed=1, extra_body={"regex": "yes|no"}).choices[0].message.content in ("yes", "no")


def mistakes(client, model):
    """Errors arrive as the client's exceptions."""
    for error, more in ((openai.NotFoundError, {"model": "no-such-model"}), (openai.BadRequestError, {"temperature": -1}),
                        (openai.BadRequestError, {"logit_bias": {"1": 1}}), (openai.BadRequestError, {"extra_body": {"nonsense": 1}})):
        try:
            chat(client, **{"model": model, **more})
        except error as e:
            assert e.body["message"], e.body
        else:
            raise AssertionError(f"{more}: nothing was raised")


def adapters(client, model, folder):
    """An adapter comes, answers and goes."""
    post = lambda path, body: httpx.post(f"{client.base_url}{path}", json=body, timeout=60,
                                         headers={"Authorization": f"Bearer {client.api_key}"})
    done = post("load_lora_adapter", {"lora_name": "fresh", "lora_path": folder})
    assert done.status_code == 200, done.text
    assert "fresh" in [m.id for m in client.models.list().data] and client.models.retrieve("fresh").id == "fresh"
    assert chat(client, "fresh").model == "fresh"
    assert post("unload_lora_adapter", {"lora_name": "fresh"}).status_code == 200
    assert "fresh" not in [m.id for m in client.models.list().data]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--adapter")
    parser.add_argument("--key", default="none")
    args = parser.parse_args()
    client = openai.OpenAI(base_url=args.url, api_key=args.key, max_retries=0, timeout=300)
    names = [model.id for model in client.models.list().data]
    failed = 0
    for name in names:
        for check in (whole_and_pieces, logprobs, tools, shapes, mistakes):
            try:
                check(client, name)
                print(f"ok: {name}: {check.__doc__}")
            except Exception as e:  # the next check is made, whatever this one met
                failed = 1
                print(f"FAIL: {name}: {check.__doc__} {e!r}")
    if args.adapter:
        adapters(client, names[0], args.adapter)
        print(f"ok: {adapters.__doc__}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
