import { h } from '../dom.js';

/** Characters of one span: appending to a text node that is too long gets slow. */
const blockChars = 8192;
/** How long text that was taken back is shown struck out, unless new text comes in its place later than that. */
const takenBackMs = 3000;
const drawMs = 60;

/**
 * The text of a job as it comes: what is committed stands, what is not yet is marked as such, and what a new worker takes
 * back is struck out before it goes. `position` counts records, from 1.
 */
export class LiveText {
  #committed = h('span', { class: 'committed' });
  #pending = h('span', { class: 'pending' });
  #gone = null;
  #block = null;
  #chars = 0;
  /** Records that are not committed yet, in order. */
  #waiting = [];
  /** Committed text that is not drawn yet. */
  #due = '';
  #drawing = null;
  position = 0;
  text = h(
    'div',
    { class: 'text', role: 'region', 'aria-label': 'Written text', tabindex: 0 },
    this.#committed,
    this.#pending,
  );
  #note = h('p', { class: 'hint' });
  element = h('div', { class: 'live-text' }, this.text, this.#note);

  take(record, committed) {
    this.position = record.position;
    if (committed && this.#waiting.length === 0) this.#due += record.text;
    else this.#waiting.push({ position: record.position, text: record.text });
    if (committed) this.commitTo(record.position);
    this.#draw();
  }

  /** Records up to `position` are committed. */
  commitTo(position) {
    let n = 0;
    while (n < this.#waiting.length && this.#waiting[n].position <= position) n += 1;
    if (n === 0) return;
    for (const { text } of this.#waiting.splice(0, n)) this.#due += text;
    this.#draw();
  }

  /** Records behind `to` do not stand any more. */
  takeBack(to) {
    this.position = Math.min(this.position, to);
    const gone = this.#waiting.filter(({ position }) => position > to);
    this.#waiting = this.#waiting.filter(({ position }) => position <= to);
    this.#drawNow();
    if (gone.length === 0) return;
    this.#gone?.remove();
    const struck = h('del', {}, gone.map(({ text }) => text).join(''));
    this.#gone = struck;
    this.text.append(struck);
    setTimeout(() => struck.remove(), takenBackMs);
    this.#follow();
  }

  say(note) {
    this.#note.textContent = note;
  }

  #draw() {
    this.#drawing ??= setTimeout(() => this.#drawNow(), drawMs);
  }

  #drawNow() {
    clearTimeout(this.#drawing);
    this.#drawing = null;
    const { text } = this;
    const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 24;
    while (this.#due !== '') {
      if (this.#block === null || this.#chars >= blockChars) {
        this.#block = document.createTextNode('');
        this.#chars = 0;
        this.#committed.append(h('span', {}, this.#block));
      }
      const part = this.#due.slice(0, blockChars);
      this.#due = this.#due.slice(blockChars);
      this.#block.appendData(part);
      this.#chars += part.length;
    }
    const pending = this.#waiting.map(({ text }) => text).join('');
    if (this.#pending.textContent !== pending) this.#pending.textContent = pending;
    if (atEnd) this.#follow();
  }

  /** Whoever reads further up is left there. */
  #follow() {
    this.text.scrollTop = this.text.scrollHeight;
  }
}
