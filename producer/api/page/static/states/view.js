import { ask } from '../api.js';
import { h, setText } from '../dom.js';
import { bytes, counted, duration } from '../format.js';
import { troubleLine } from '../parts.js';
import { poll } from '../poll.js';

const everyMs = 10_000;

/** The states that the key's tenant owns. */
export async function statesView(root, { signal }) {
  const trouble = troubleLine();
  const summary = h('p', { class: 'hint' }, 'Loading…');
  const list = h('ul', { class: 'states' });
  root.append(h('h1', { tabindex: -1 }, 'States'), trouble.element, summary, list);
  let drawn = '';
  const question = async () => {
    const { data } = await ask('ui/data/states', { signal });
    setText(
      summary,
      data.length === 0
        ? 'No states yet. Save one: longhaul ingest FILE --save-as NAME'
        : counted(data.length, 'state'),
    );
    const now = JSON.stringify(data);
    if (now === drawn) return;
    drawn = now;
    list.replaceChildren(...data.map(item));
  };
  const onTrouble = (error) => trouble.show(error === null ? null : `Not up to date: ${error.message}`);
  await poll(question, everyMs, { onTrouble, signal });
}

function item({ newest, versions }) {
  const age = duration((Date.now() - Date.parse(newest.createdAt)) / 1000);
  return h(
    'li',
    { class: 'card' },
    h('a', { href: `#/states/${encodeURIComponent(newest.name)}` }, newest.name),
    h('p', {}, `${counted(newest.checkpoint.tokenOffset, 'token')} from ${bytes(newest.inputBytes)} of text`),
    h('p', { class: 'hint' }, `${counted(versions, 'version')} · ${newest.model} · ${newest.origin.how}, ${age} ago`),
  );
}
