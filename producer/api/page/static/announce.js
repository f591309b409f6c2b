const everyMs = 4000;
let saidAt = 0;
let waiting = null;

/**
 * Says something to those who hear the page. What comes faster than it can be heard is left out, but for the last word.
 */
export function announce(text) {
  const hold = waiting !== null;
  waiting = text;
  if (hold) return;
  setTimeout(say, Math.max(0, saidAt + everyMs - performance.now()));
}

function say() {
  document.getElementById('announcer').textContent = waiting;
  waiting = null;
  saidAt = performance.now();
}
