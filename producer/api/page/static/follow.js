import { ApiFailure, jobPath, request } from './api.js';
import { EventLines } from './event-lines.js';

const firstPauseMs = 500;
const longestPauseMs = 15_000;

/**
 * The events of a job until its result, over as many connections as it takes: each goes on behind the last event that was
 * heard. An EventSource cannot send the key, hence a stream of our own. `onLink(null)` says that the link is there,
 * `onLink(text)` why it is not. Throws ApiFailure where coming back would not help.
 */
export async function followJob(jobId, { onEvent, onLink, signal }) {
  let last = null;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      const headers = last === null ? {} : { 'last-event-id': last };
      const response = await request(jobPath(jobId, '/events'), { headers, signal });
      onLink(null);
      const lines = new EventLines();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const { event, id, data } of lines.push(value)) {
          pauseMs = firstPauseMs;
          if (id !== null) last = id;
          if (event === 'error') throw failureOf(JSON.parse(data));
          onEvent(event, JSON.parse(data));
          if (event === 'result') return;
        }
      }
      onLink('the stream broke off');
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiFailure && final(error)) throw error;
      onLink(error instanceof ApiFailure ? error.message : 'the connection broke off');
    }
    await pause(pauseMs * (0.75 + Math.random() / 2), signal);
    if (signal.aborted) return;
  }
}

function final({ status }) {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

function failureOf({ error }) {
  return new ApiFailure(error.type === 'server_error' ? 503 : 400, error.code, error.message);
}

/** Ends early where the signal aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
