/**
 * Server-sent events out of text that comes in any pieces.
 * Each is `{ event, id, data }`; `id` is null where the event has none of its own.
 */
export class EventLines {
  #rest = '';
  #event = 'message';
  #id = null;
  #data = [];

  /** The events that are whole now. */
  *push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.#data.length > 0) yield { event: this.#event, id: this.#id, data: this.#data.join('\n') };
        this.#event = 'message';
        this.#id = null;
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
      if (field === 'event') this.#event = value;
      else if (field === 'id') this.#id = value;
      else if (field === 'data') this.#data.push(value);
    }
  }
}
