import { h } from '../dom.js';
import { colourOf, darkScheme } from './palette.js';

const height = 96;

/**
 * The strip: a column a pixel, as high and as bright as its mean surprise. A slider for the
 * keyboard: arrows move along it, + and - zoom, 0 shows all. `view` is [from, to) in values, `cursor` a place in it.
 */
export class Strip {
  #series;
  #onMove;
  #onZoom;
  #canvas = h('canvas', { 'aria-hidden': 'true' });
  #needle = h('div', { class: 'needle', 'aria-hidden': 'true' });
  /** [from, to) in values; `to` null: the end, wherever it goes. */
  from = 0;
  to = null;
  cursor = 0;
  #due = 0;
  element = h(
    'div',
    {
      class: 'strip',
      role: 'slider',
      tabindex: 0,
      'aria-label': 'Surprise along the document',
      'aria-describedby': 'strip-keys',
      'aria-valuemin': 0,
    },
    this.#canvas,
    this.#needle,
  );

  constructor(series, { onMove, onZoom }) {
    this.#series = series;
    this.#onMove = onMove;
    this.#onZoom = onZoom;
    new ResizeObserver(() => this.draw()).observe(this.element);
    darkScheme.addEventListener('change', () => this.draw());
    this.element.addEventListener('pointermove', (event) => this.#point(event));
    this.element.addEventListener('pointerdown', (event) => this.#point(event));
    this.element.addEventListener('dblclick', () => this.zoom(4));
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  get end() {
    return this.to ?? this.#series.length;
  }

  /** Values of one column. */
  get #step() {
    return Math.max(1, (this.end - this.from) / Math.max(1, this.element.clientWidth));
  }

  /** The values that the cursor stands for. */
  get spot() {
    const from = Math.floor(this.cursor);
    return [from, Math.min(this.#series.length, Math.max(from + 1, Math.floor(this.cursor + this.#step)))];
  }

  moveTo(value) {
    this.cursor = Math.max(0, Math.min(this.#series.length - 1, value));
    if (this.cursor < this.from || this.cursor >= this.end)
      this.show(this.cursor - (this.end - this.from) / 2, this.end - this.from);
    this.#place();
    this.#onMove();
  }

  /** Shows `length` values from `from` on, as far as there are any. */
  show(from, length) {
    const all = this.#series.length;
    const n = Math.max(Math.min(16, all), Math.min(all, length));
    if (n >= all) [this.from, this.to] = [0, null];
    else {
      this.from = Math.max(0, Math.min(all - n, Math.floor(from)));
      this.to = this.from + Math.floor(n);
    }
    this.draw();
    this.#onZoom();
  }

  /** About the cursor, which stays where it is on the screen. */
  zoom(times) {
    const length = this.end - this.from;
    const share = length === 0 ? 0 : (this.cursor - this.from) / length;
    const wanted = length / times;
    this.show(this.cursor - share * wanted, wanted);
    this.#onMove();
  }

  pan(share) {
    const length = this.end - this.from;
    this.show(this.from + share * length, length);
    this.moveTo(Math.max(this.from, Math.min(this.end - 1, this.cursor)));
  }

  /** Many values may come at once: they are drawn together. */
  draw() {
    if (this.#due === 0) this.#due = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    this.#due = 0;
    const width = this.element.clientWidth;
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const canvas = this.#canvas;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const paint = canvas.getContext('2d');
    paint.scale(ratio, ratio);
    const perColumn = (this.end - this.from) / width;
    const scale = Math.max(1e-6, this.#scale(width, perColumn));
    const tall = (value) => Math.min(1, value / scale) * (height - 6);
    // Where there are fewer values than columns, a value is several columns wide.
    const columns = perColumn < 1 ? this.end - this.from : width;
    const values = Math.max(1, perColumn);
    for (let i = 0; i < columns; i++) {
      const at = this.from + i * values;
      const seen = this.#series.over(at, at + values);
      if (seen === null) continue;
      const [left, right] = [Math.round((i * width) / columns), Math.round(((i + 1) * width) / columns)];
      const wide = right - left - (right - left > 5 ? 1 : 0);
      paint.fillStyle = colourOf(seen.mean / scale);
      paint.fillRect(left, height - tall(seen.mean) - 2, wide, tall(seen.mean) + 2);
    }
    this.#place();
  }

  /** The highest mean in view, so that a calm stretch is not flat; a little more for room. */
  #scale(width, perColumn) {
    let most = 0;
    const columns = Math.min(width, Math.ceil((this.end - this.from) / Math.max(1, perColumn)));
    for (let x = 0; x < columns; x++) {
      const at = this.from + x * Math.max(1, perColumn);
      most = Math.max(most, this.#series.over(at, at + Math.max(1, perColumn))?.mean ?? 0);
    }
    return most * 1.05;
  }

  #place() {
    const share = (this.cursor - this.from) / Math.max(1, this.end - this.from);
    this.#needle.hidden = this.#series.length === 0 || share < 0 || share > 1;
    this.#needle.style.left = `${100 * share}%`;
  }

  #point(event) {
    const box = this.element.getBoundingClientRect();
    this.moveTo(this.from + ((event.clientX - box.left) / box.width) * (this.end - this.from));
  }

  #key(event) {
    const step = this.#step;
    const moves = {
      ArrowLeft: () => this.moveTo(this.cursor - step),
      ArrowRight: () => this.moveTo(this.cursor + step),
      ArrowDown: () => this.moveTo(this.cursor - step),
      ArrowUp: () => this.moveTo(this.cursor + step),
      PageDown: () => this.moveTo(this.cursor - 20 * step),
      PageUp: () => this.moveTo(this.cursor + 20 * step),
      Home: () => this.moveTo(0),
      End: () => this.moveTo(this.#series.length - 1),
      '+': () => this.zoom(2),
      '=': () => this.zoom(2),
      '-': () => this.zoom(0.5),
      0: () => this.show(0, Number.POSITIVE_INFINITY),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || moves[event.key] === undefined) return;
    event.preventDefault();
    moves[event.key]();
  }
}
