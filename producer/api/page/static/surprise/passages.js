/** Characters of passages that are kept; of a document with more, later passages have numbers alone. */
const mostChars = 2 ** 26;

/** Tokens of a passage at least, where its line has so many. */
const least = 96;

/**
 * The lines of a `score`, by place: tokens [from, to), and the text of each token that was predicted there, where the job
 * tells it. Token `from + 1 + i` of a line is what `texts[i]` and `logprobs[i]` are of.
 */
export class Passages {
  lines = [];
  #chars = 0;

  push({ from, to, scored, nats, texts = null, logprobs = null }) {
    const text = texts === null || this.#chars > mostChars ? null : texts.join('');
    this.#chars += text?.length ?? 0;
    const lengths = text === null ? null : Uint16Array.from(texts, (one) => one.length);
    this.lines.push({
      from,
      to,
      scored,
      nats,
      text,
      lengths,
      logprobs: logprobs === null ? null : Float32Array.from(logprobs),
    });
  }

  truncate(length) {
    this.lines.length = Math.min(this.lines.length, length);
  }

  /** The line that token `at` was scored in. */
  lineOf(at) {
    let [low, high] = [0, this.lines.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.lines[middle].from < at) low = middle;
      else high = middle - 1;
    }
    return this.lines[low] ?? null;
  }

  /**
   * Tokens [from, to) with their surprise, at most `most` of them around the middle, none beyond the line that holds it;
   * null where the texts are not known. `cut` says that it begins or ends within more text.
   */
  tokensAt(from, to, most) {
    const line = this.lineOf((from + to) / 2);
    if (line === null || line.text === null) return null;
    const middle = Math.floor((from + to) / 2) - line.from - 1;
    const wanted = Math.min(most, Math.max(least, to - from));
    const first = Math.max(0, Math.min(middle - (wanted >> 1), line.lengths.length - wanted));
    const last = Math.min(line.lengths.length, first + wanted);
    let at = 0;
    for (let i = 0; i < first; i++) at += line.lengths[i];
    const tokens = [];
    for (let i = first; i < last; i++) {
      const token = line.from + 1 + i;
      tokens.push({
        token,
        text: line.text.slice(at, at + line.lengths[i]),
        nats: line.logprobs === null ? null : -line.logprobs[i],
        here: token >= from && token < to,
      });
      at += line.lengths[i];
    }
    return tokens;
  }
}
