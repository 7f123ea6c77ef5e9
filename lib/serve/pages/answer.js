// One answer as it is streamed: /v1/chat/completions, chunk by chunk, into a message.
import {ApiError, eventsOf, request} from "./api.js";
import {formatValue} from "./format.js";

// What a message of the assistant is made of.
export function emptyAnswer(model) {
  return {
    role: "assistant", model,
    content: "", reasoning: "",
    toolCalls: [],  // {id, name, arguments}
    tokens: [],     // with log-probs: {token, bytes, logprob, top: [{token, logprob}]}
    finish: null,   // the server's word, or "stopped"
    usage: null, pieces: 0,
    firstAt: 0, lastAt: 0,  // when pieces came, ms
    error: null,
  };
}

// Fills `answer`, calling onPiece(content that came) as it goes. What goes wrong is kept in answer.error; nothing is thrown.
export async function streamAnswer(body, answer, {signal, onPiece}) {
  try {
    const response = await request("v1/chat/completions", {
      body: {...body, stream: true, stream_options: {include_usage: true}}, signal,
    });
    await readChunks(response, answer, onPiece);
    if (answer.finish === null) throw new ApiError("The connection ended before the answer did.", 0);
  } catch (error) {
    if (error.name === "AbortError") answer.finish = "stopped";
    else answer.error = error instanceof ApiError ? error.message : "The connection was lost in the middle of the answer.";
  }
}

async function readChunks(response, answer, onPiece) {
  for await (const {data} of eventsOf(response)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(chunk.error.message, 0);
    if (chunk.usage) answer.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (choice) onPiece(takeChoice(choice, answer));
  }
}

function takeChoice(choice, answer) {
  const delta = choice.delta ?? {}, content = delta.content ?? "";
  answer.content += content;
  answer.reasoning += delta.reasoning_content ?? "";
  for (const call of delta.tool_calls ?? []) takeCall(call, answer.toolCalls);
  for (const token of choice.logprobs?.content ?? []) {
    answer.tokens.push({
      token: token.token, bytes: token.bytes, logprob: token.logprob, top: token.top_logprobs ?? [],
    });
  }
  if (choice.finish_reason) answer.finish = choice.finish_reason;
  if (content || delta.tool_calls || delta.reasoning_content) {
    answer.lastAt = performance.now();
    answer.firstAt ||= answer.lastAt;
    answer.pieces += 1;
  }
  return content;
}

// A call's arguments may come in pieces that are joined by its index.
function takeCall(piece, calls) {
  const call = calls[piece.index ?? calls.length] ??= {id: "", name: "", arguments: ""};
  if (piece.id) call.id = piece.id;
  call.name += piece.function?.name ?? "";
  call.arguments += piece.function?.arguments ?? "";
}

// What is said under an answer: "stopped", how many tokens and how fast. The first token's wait is the prompt's, so the speed is
// of those behind it.
export function figuresOf(answer) {
  const words = {stop: "finished", length: "cut off at the token limit", tool_calls: "calls tools", content_filter: "filtered",
    stopped: "stopped by you"};
  const tokens = answer.usage?.completion_tokens ?? answer.pieces, seconds = (answer.lastAt - answer.firstAt) / 1000;
  const out = [words[answer.finish] ?? answer.finish ?? ""];
  if (tokens > 0) out.push(`${answer.usage ? "" : "about "}${tokens} ${tokens === 1 ? "token" : "tokens"}`);
  if (tokens > 1 && seconds > 0) out.push(`${formatValue((tokens - 1) / seconds)} tokens/s`);
  return out.filter((text) => text !== "").join(" · ");
}

// The messages as the API takes them. An exchange that failed without a word is left out: two questions in a row are more than
// many chat templates take.
export function historyOf(messages) {
  const out = [];
  for (const message of messages) {
    const failed = message.error && message.content === "" && message.toolCalls.length === 0;
    if (failed) while (out.length > 0 && out.at(-1).role !== "assistant") out.pop();
    else out.push(toApi(message));
  }
  return out;
}

function toApi(message) {
  if (message.role === "tool") return {role: "tool", tool_call_id: message.callId, content: message.content};
  if (message.role !== "assistant" || message.toolCalls.length === 0) return {role: message.role, content: message.content};
  return {
    role: "assistant",
    content: message.content || null,
    tool_calls: message.toolCalls.map((call) => (
      {id: call.id, type: "function", function: {name: call.name, arguments: call.arguments}})),
  };
}
