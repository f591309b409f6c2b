import { h } from '../dom.js';
import { counted } from '../format.js';

const pageSize = 100;

/** The answers of an `ask`, each under its question where that travelled with the job. */
export class Answers {
  #questions;
  #records = [];
  #committed = 0;
  #shown = pageSize;
  #list = h('ol', { class: 'answers' });
  #more = h('button', { type: 'button', hidden: true, onclick: () => this.#showMore() }, 'Show more');
  #note = h('p', { class: 'hint' });
  element = h('div', {}, this.#note, this.#list, this.#more);

  /** `questions`: those that stand in the request; empty where they lie in the store. */
  constructor(questions) {
    this.#questions = questions;
    this.#tell();
  }

  take(record, committed) {
    this.#records[record.index] = record;
    if (committed) this.commitTo(record.index + 1);
    if (this.#list.children.length < this.#shown) this.#list.append(this.#item(record));
    this.#tell();
  }

  commitTo(position) {
    for (let i = this.#committed; i < Math.min(position, this.#list.children.length); i++) {
      this.#list.children[i].classList.remove('pending');
    }
    this.#committed = Math.max(this.#committed, position);
  }

  takeBack(to) {
    this.#records.length = Math.min(this.#records.length, to);
    while (this.#list.children.length > to) this.#list.lastElementChild.remove();
    this.#committed = Math.min(this.#committed, to);
    this.#tell();
  }

  say(text) {
    this.#note.textContent = text;
  }

  #showMore() {
    this.#shown += pageSize;
    for (const record of this.#records.slice(this.#list.children.length, this.#shown))
      this.#list.append(this.#item(record));
    this.#tell();
  }

  #tell() {
    const all = this.#questions.length;
    this.#note.textContent = `${counted(this.#records.length, 'answer')}${all > 0 ? ` of ${all}` : ''}`;
    this.#more.hidden = this.#records.length <= this.#list.children.length;
  }

  #item(record) {
    const question = this.#questions[record.index]?.prompt ?? null;
    const body =
      record.error === null
        ? h('p', { class: 'said' }, record.text.trim() === '' ? '(nothing)' : record.text.trim())
        : h('p', { class: 'wrong' }, `${record.error.code}: ${record.error.message}`);
    const facts = `${counted(record.tokens.length, 'token')}, ended by ${record.finishReason}`;
    const pending = record.index >= this.#committed;
    return h(
      'li',
      { class: pending ? 'pending' : '', value: record.index + 1 },
      question === null && record.id === null ? null : h('p', { class: 'question' }, question ?? record.id),
      body,
      h('p', { class: 'hint' }, facts),
    );
  }
}
