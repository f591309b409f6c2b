/** Values of the finest level that are kept; beyond it each stands for twice as many tokens. */
const mostValues = 2 ** 21;

/** Sums and maxima over 2^k neighbours, growing at the end. */
class Level {
  sums = new Float64Array(1024);
  most = new Float32Array(1024);
  length = 0;

  push(sum, most) {
    if (this.length === this.sums.length) {
      this.sums = grown(this.sums);
      this.most = grown(this.most);
    }
    this.sums[this.length] = sum;
    this.most[this.length] = most;
    this.length += 1;
  }
}

function grown(array) {
  const twice = new array.constructor(2 * array.length);
  twice.set(array);
  return twice;
}

/**
 * Surprise along a document, in nats a token, as it streams in: a pyramid of means and maxima, so that any stretch of any
 * length is summed up in a handful of steps, and a document without end takes bounded memory.
 */
export class Series {
  /** Tokens that one value of the finest level stands for. */
  unit;
  #levels = [new Level()];
  #total = 0;
  /** Values that are pushed for one of the finest level, and those that are gathered for the next one. */
  #stride = 1;
  #gathered = { n: 0, sum: 0, most: 0 };

  constructor(unit) {
    this.unit = unit;
  }

  get length() {
    return this.#levels[0].length;
  }

  get mean() {
    return this.length === 0 ? 0 : this.#total / this.length;
  }

  push(value) {
    if (this.length >= mostValues) this.#coarsen();
    const gathered = this.#gathered;
    gathered.n += 1;
    gathered.sum += value;
    gathered.most = Math.max(gathered.most, value);
    if (gathered.n < this.#stride) return;
    const mean = gathered.sum / gathered.n;
    this.#total += mean;
    this.#add(0, mean, gathered.most);
    this.#gathered = { n: 0, sum: 0, most: 0 };
  }

  /** Forgets all behind the first `length` values. */
  truncate(length) {
    const kept = this.#levels[0];
    const { sums, most } = kept;
    const n = Math.min(length, kept.length);
    this.#levels = [new Level()];
    this.#total = 0;
    this.#gathered = { n: 0, sum: 0, most: 0 };
    for (let i = 0; i < n; i++) {
      this.#total += sums[i];
      this.#add(0, sums[i], most[i]);
    }
  }

  /** Mean and maximum over values [from, to); null where there are none. */
  over(from, to) {
    let i = Math.max(0, Math.floor(from));
    const end = Math.min(this.length, Math.ceil(to));
    if (i >= end) return null;
    const n = end - i;
    let sum = 0;
    let most = 0;
    while (i < end) {
      let k = 0;
      while (k + 1 < this.#levels.length && i % 2 ** (k + 1) === 0 && i + 2 ** (k + 1) <= end) k += 1;
      const level = this.#levels[k];
      const at = i / 2 ** k;
      sum += level.sums[at];
      most = Math.max(most, level.most[at]);
      i += 2 ** k;
    }
    return { mean: sum / n, most };
  }

  #add(k, sum, most) {
    if (k === this.#levels.length) this.#levels.push(new Level());
    const level = this.#levels[k];
    level.push(sum, most);
    if (level.length % 2 !== 0) return;
    const last = level.length - 1;
    this.#add(k + 1, level.sums[last - 1] + level.sums[last], Math.max(level.most[last - 1], level.most[last]));
  }

  /** Every two values become their mean: the lowest level goes, and the sums of the others are halved. */
  #coarsen() {
    this.unit *= 2;
    this.#stride *= 2;
    this.#total /= 2;
    this.#levels.shift();
    for (const { sums, length } of this.#levels) for (let i = 0; i < length; i++) sums[i] /= 2;
  }
}
