import { h, setAttribute, setText } from '../dom.js';
import { count, counted } from '../format.js';
import { colourOf } from './palette.js';
import { Passages } from './passages.js';
import { Series } from './series.js';
import { Strip } from './strip.js';

/** Tokens of a passage that are shown. */
const mostTokens = 240;
const mostPeaks = 5;
/** Nats of a token that is as bright as the palette goes. */
const brightNats = 10;

/** A `score` as it comes: the strip, the passage under the pointer or the cursor, and the places that stand out. */
export class SurprisePanel {
  #passages = new Passages();
  #series = null;
  #strip = null;
  #segmentTokens;
  #place = h('p', { class: 'place' });
  #passage = h('p', { class: 'passage' });
  #range = h('span', { class: 'hint range' });
  #peaks = h('ol', { class: 'peaks' });
  #peaksTitle = h('h3', { hidden: true }, 'Where it was surprised most');
  #holder = h('div');
  #buttons;
  #note = h('p', { class: 'hint' }, 'Nothing is scored yet.');
  element;
  #later = null;

  constructor(segmentTokens) {
    this.#segmentTokens = segmentTokens;
    const button = (text, label, act) =>
      h('button', { type: 'button', class: 'quiet', 'aria-label': label, onclick: act }, text);
    this.#buttons = h(
      'div',
      { class: 'row zoom', role: 'group', 'aria-label': 'View', hidden: true },
      button('+', 'Zoom in', () => this.#strip.zoom(2)),
      button('−', 'Zoom out', () => this.#strip.zoom(0.5)),
      button('◀', 'Earlier', () => this.#strip.pan(-0.5)),
      button('▶', 'Later', () => this.#strip.pan(0.5)),
      button('All', 'Show all', () => this.#strip.show(0, Number.POSITIVE_INFINITY)),
      this.#range,
    );
    const keys = h(
      'p',
      { id: 'strip-keys', class: 'unseen' },
      'Arrow keys move, Page Up and Page Down move further, plus and minus zoom, 0 shows all.',
    );
    this.element = h(
      'div',
      { class: 'surprise' },
      this.#note,
      this.#holder,
      keys,
      this.#buttons,
      h('div', { class: 'passage-box' }, this.#place, this.#passage),
      this.#peaksTitle,
      this.#peaks,
    );
  }

  take(record) {
    if (this.#series === null) this.#begin(record.logprobs === null ? this.#segmentTokens : 1);
    this.#passages.push(record);
    if (record.logprobs === null) this.#series.push(record.scored === 0 ? 0 : record.nats / record.scored);
    else for (const logprob of record.logprobs) this.#series.push(-logprob);
    this.#later ??= setTimeout(() => this.#refresh(), 100);
  }

  /** Lines behind the first `to` do not stand any more. */
  takeBack(to) {
    if (this.#series === null || to >= this.#passages.lines.length) return;
    this.#passages.truncate(to);
    const scored = this.#passages.lines.reduce((sum, line) => sum + (line.logprobs === null ? 1 : line.scored), 0);
    const values = this.#passages.lines.at(-1)?.logprobs === null ? scored : scored / this.#series.unit;
    this.#series.truncate(values);
    this.#refresh();
  }

  end({ score }) {
    if (score === null) return;
    this.#refresh();
    setText(
      this.#note,
      `${(score.nats / Math.max(1, score.tokens)).toFixed(4)} nats a token over ${counted(score.tokens, 'token')}.`,
    );
  }

  #begin(unit) {
    this.#series = new Series(unit);
    this.#strip = new Strip(this.#series, { onMove: () => this.#showSpot(), onZoom: () => this.#showRange() });
    this.#holder.append(this.#strip.element);
    this.#buttons.hidden = false;
  }

  #refresh() {
    clearTimeout(this.#later);
    this.#later = null;
    if (this.#series === null) return;
    const tokens = this.#series.length * this.#series.unit;
    setText(this.#note, `${this.#series.mean.toFixed(4)} nats a token over ${counted(tokens, 'token')} so far.`);
    this.#strip.draw();
    this.#showRange();
    this.#showSpot();
    this.#showPeaks();
  }

  /** Where values are tokens, the first one is of token 1: nothing predicts token 0. */
  #tokenAt(value) {
    const { unit, length } = this.#series;
    const last = this.#passages.lines.at(-1)?.to ?? 0;
    const first = this.#passages.lines[0]?.from ?? 0;
    const offset = this.#passages.lines[0]?.logprobs === null ? 0 : 1;
    return value >= length ? last : Math.min(last, first + offset + Math.floor(value) * unit);
  }

  #showRange() {
    const strip = this.#strip;
    setText(this.#range, `tokens ${count(this.#tokenAt(strip.from))} to ${count(this.#tokenAt(strip.end))}`);
  }

  #showSpot() {
    const [a, b] = this.#strip.spot;
    const seen = this.#series.over(a, b);
    if (seen === null) return;
    const [from, to] = [this.#tokenAt(a), this.#tokenAt(b)];
    const place = `Tokens ${count(from)} to ${count(to)}: ${seen.mean.toFixed(3)} nats a token${b - a > 1 ? `, at most ${seen.most.toFixed(2)}` : ''}`;
    setText(this.#place, place);
    const tokens = this.#passages.tokensAt(from, to, mostTokens);
    if (tokens === null) {
      setText(this.#passage, 'The job tells no text: submitted with --detail text, it would show the passage here.');
    } else {
      this.#passage.replaceChildren(...tokens.map(tokenSpan));
    }
    const { element } = this.#strip;
    setAttribute(element, 'aria-valuemax', Math.max(0, this.#tokenAt(this.#series.length) - 1));
    setAttribute(element, 'aria-valuenow', from);
    const heard =
      tokens
        ?.filter(({ here }) => here)
        .map(({ text }) => text)
        .join('')
        .slice(0, 200) ?? '';
    setAttribute(element, 'aria-valuetext', heard.trim() === '' ? place : `${place}. ${heard}`);
  }

  #showPeaks() {
    const { lines } = this.#passages;
    if (lines.length < 3) return;
    const mean = ({ nats, scored }) => (scored === 0 ? 0 : nats / scored);
    const peaks = lines.toSorted((a, b) => mean(b) - mean(a)).slice(0, mostPeaks);
    this.#peaksTitle.hidden = false;
    if (this.#peaks.contains(document.activeElement)) return;
    this.#peaks.replaceChildren(
      ...peaks.map((line) => {
        const words = line.text === null ? '' : line.text.replaceAll(/\s+/g, ' ').trim().slice(0, 60);
        const go = () => {
          const [first, { unit }] = [lines[0].from, this.#series];
          const offset = line.logprobs === null ? 0 : 1;
          this.#strip.show((line.from - first - 2 * line.scored) / unit, (5 * line.scored) / unit);
          this.#strip.moveTo((line.from + offset - first) / unit);
          this.#strip.element.focus();
        };
        const text = `${mean(line).toFixed(3)} nats a token at ${count(line.from)}`;
        return h(
          'li',
          {},
          h('button', { type: 'button', class: 'link', onclick: go }, text),
          words === '' ? null : ` ${words}…`,
        );
      }),
    );
  }
}

function tokenSpan({ token, text, nats, here }) {
  const span = h(
    'span',
    { class: here ? 'here' : '', title: `token ${token}${nats === null ? '' : `: ${nats.toFixed(3)} nats`}` },
    text,
  );
  if (nats !== null) span.style.boxShadow = `inset 0 -0.2em ${colourOf(nats / brightNats)}`;
  return span;
}
