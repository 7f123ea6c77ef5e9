// What a run writes, as it writes it: /run/events, taken up again where it broke off.
import {ApiError, eventsOf, request} from "./api.js";

const kSilence = 45000;    // ms without a sign of life, of which there is one every 15 s
const kLongestWait = 30;   // s between two attempts

// Calls on[type](row) for each event, and onConnection(text) with what stands in the way, "" for nothing. Never returns, except
// where the server has no run (404) or the key was not given (401).
export async function followRun(on, onConnection) {
  let lastId = null, wait = 1;
  for (;;) {
    let trouble = "The connection was lost.";
    try {
      for await (const event of connected(lastId)) {
        wait = 1;
        onConnection("");
        lastId = event.id ?? lastId;
        on[event.type]?.(JSON.parse(event.data));
      }
    } catch (error) {
      if (error.status === 404 || error.status === 401) return onConnection(error.message);
      if (error instanceof ApiError) trouble = error.message;
    }
    for (let left = wait; left > 0; --left) {
      onConnection(`${trouble} Trying again in ${left} s.`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    wait = Math.min(kLongestWait, 2 * wait);
  }
}

async function* connected(lastId) {
  const aborting = new AbortController();
  let timer;
  const sign = () => {
    clearTimeout(timer);
    timer = setTimeout(() => aborting.abort(), kSilence);
  };
  try {
    sign();
    const headers = lastId === null ? {} : {"Last-Event-ID": lastId};
    yield* eventsOf(await request("run/events", {headers, signal: aborting.signal}), sign);
  } finally {
    clearTimeout(timer);
    aborting.abort();
  }
}
