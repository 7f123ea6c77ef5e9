// Requests to the server that the page came from, with the API key where it wants one, and the streams that it answers with.
import {askForKey, key} from "./key.js";

// What the server refused, in its own words. status 0: it was not reached.
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// The response of a request that succeeded. With a body it is a POST of JSON. Asks for the key where it is missing or wrong,
// and tries again; throws ApiError, and AbortError when the signal says so.
export async function request(path, {body, headers = {}, signal} = {}) {
  for (;;) {
    const sentKey = key();
    const response = await send(path, body, headers, sentKey, signal);
    if (response.ok) return response;
    const error = await refusal(response);
    if (error.status !== 401) throw error;
    // While this request was under way the key may have been given to another one.
    if (key() === sentKey && !(await askForKey(sentKey ? error.message : ""))) throw error;
  }
}

async function send(path, body, headers, sentKey, signal) {
  const all = {...headers};
  if (sentKey) all.Authorization = `Bearer ${sentKey}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is temper-serve still running?", 0);
  }
}

async function refusal(response) {
  const text = await response.text().catch(() => "");
  let message = `The server answered ${response.status} ${response.statusText}`.trim() + ".";
  try {
    message = JSON.parse(text).error.message || message;
  } catch {
    // Not the server's own JSON, perhaps a proxy's page: the status says enough.
  }
  const wait = response.headers.get("Retry-After");
  if (response.status === 429 && wait) message += ` Try again in ${wait} s.`;
  return new ApiError(message, response.status);
}

// The events of a text/event-stream as {type, data, id}. onSign is called whenever anything arrives, comments too.
export async function* eventsOf(response, onSign = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", event = {type: "message", data: null, id: null};
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    onSign();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((whole) => whole.replace(/\r$/, ""))) {
      if (line !== "") {
        takeField(event, line);
        continue;
      }
      if (event.data !== null) yield event;
      event = {type: "message", data: null, id: null};
    }
  }
}

function takeField(event, line) {
  const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
  if (name === "event") event.type = value;
  if (name === "id") event.id = value;
  if (name === "data") event.data = event.data === null ? value : `${event.data}\n${value}`;
}
