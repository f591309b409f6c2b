import { ask } from '../api.js';
import { h, setText } from '../dom.js';
import { bytes, counted } from '../format.js';
import { stateGraph } from './graph.js';

/** The versions of one name, and what they go back to. */
export async function stateView(root, { name, signal }) {
  const summary = h('p', { class: 'hint' }, 'Loading…');
  const card = h('section', { class: 'card', 'aria-labelledby': 'lineage-title', hidden: true });
  root.append(
    h('p', { class: 'up' }, h('a', { href: '#/states' }, '← All states')),
    h('h1', { tabindex: -1, class: 'id' }, name),
    summary,
    card,
  );
  const { nodes } = await ask(`ui/data/states/${encodeURIComponent(name)}`, { signal });
  const own = nodes.filter(({ version }) => version.name === name).map(({ version }) => version);
  const newest = own.reduce((a, b) => (a.version > b.version ? a : b));
  setText(
    summary,
    `${counted(own.length, 'version')}; the newest has read ${counted(newest.checkpoint.tokenOffset, 'token')} from ${bytes(newest.inputBytes)} of text, and takes ${bytes(newest.checkpoint.bytes)}. Model ${newest.model}, engine ${newest.engine}.`,
  );
  card.hidden = false;
  card.append(h('h2', { id: 'lineage-title' }, 'Lineage'), stateGraph(nodes, newest));
}
