import { h, s } from '../dom.js';
import { count, counted, moment } from '../format.js';

const rowHeight = 64;
const laneWidth = 18;

const pointOf = ({ name, version }) => `${name}@${version}`;

/**
 * The versions of states as a drawing that grows downwards from what was read first: a line from each version to those that
 * went on from it, and beside each what it is. The text is a list, and tells all that the drawing does.
 */
export function stateGraph(nodes, asked) {
  const rows = ordered(nodes);
  const lanes = 1 + Math.max(0, ...rows.map(({ lane }) => lane));
  const width = lanes * laneWidth + 10;
  const at = new Map(
    rows.map((row, i) => [
      pointOf(row.node.version),
      { x: 12 + row.lane * laneWidth, y: i * rowHeight + rowHeight / 2 },
    ]),
  );
  const edges = rows.flatMap(({ node }) => {
    const { parent } = node.version.origin;
    const [from, to] = [parent === null ? undefined : at.get(pointOf(parent)), at.get(pointOf(node.version))];
    if (from === undefined) return [];
    return [
      s('path', { d: `M${from.x} ${from.y}V${to.y - 22}C${from.x} ${to.y - 8} ${to.x} ${to.y - 20} ${to.x} ${to.y}` }),
    ];
  });
  const dots = rows.map(({ node }) => {
    const { x, y } = at.get(pointOf(node.version));
    const here =
      asked !== null &&
      node.version.name === asked.name &&
      (asked.version === null || node.version.version === asked.version);
    return s('circle', {
      cx: x,
      cy: y,
      r: here ? 7 : 5,
      class: `${node.removed ? 'removed' : ''} ${here ? 'asked' : ''}`,
    });
  });
  const drawing = s(
    'svg',
    {
      class: 'lines',
      width,
      height: rows.length * rowHeight,
      viewBox: `0 0 ${width} ${rows.length * rowHeight}`,
      'aria-hidden': 'true',
    },
    ...edges,
    ...dots,
  );
  const list = h('ol', {}, ...rows.map(({ node, parent }) => h('li', {}, ...wordsOf(node, parent))));
  return h('div', { class: 'graph' }, drawing, list);
}

function wordsOf({ version, removed }, parent) {
  const { origin, checkpoint } = version;
  const more = parent === null ? 0 : checkpoint.tokenOffset - parent.version.checkpoint.tokenOffset;
  const made = [origin.how];
  if (origin.parent !== null) made.push(`from ${pointOf(origin.parent)}`);
  if (origin.document !== null) made.push(`of ${origin.document}`);
  return [
    h(
      'p',
      { class: 'head' },
      h('a', { href: `#/states/${encodeURIComponent(version.name)}` }, pointOf(version)),
      ` ${counted(checkpoint.tokenOffset, 'token')}${more > 0 ? `, +${count(more)}` : ''}${removed ? ' (removed)' : ''}`,
    ),
    h(
      'p',
      { class: 'hint' },
      `${made.join(' ')} · ${moment(version.createdAt)}`,
      ...(origin.job === null
        ? []
        : [' · ', h('a', { href: `#/jobs/${encodeURIComponent(origin.job.jobId)}` }, origin.job.jobId)]),
    ),
  ];
}

/** Parents before children; the first child stays in its parent's lane, each further one opens a lane of its own. */
function ordered(nodes) {
  const byPoint = new Map(nodes.map((node) => [pointOf(node.version), node]));
  const children = new Map();
  const roots = [];
  for (const node of byPoint.values()) {
    const { parent } = node.version.origin;
    const above = parent === null ? undefined : byPoint.get(pointOf(parent));
    if (above === undefined) roots.push(node);
    else children.set(above, [...(children.get(above) ?? []), node]);
  }
  const order = ({ version: a }, { version: b }) =>
    a.name === b.name ? a.version - b.version : a.name < b.name ? -1 : 1;
  const rows = [];
  let lanes = 0;
  // A stack of our own: a state may have thousands of versions, each read on from the one before.
  const stack = roots
    .sort(order)
    .reverse()
    .map((node) => ({ node, parent: null, lane: null }));
  while (stack.length > 0) {
    const { node, parent, lane } = stack.pop();
    const own = lane ?? lanes++;
    rows.push({ node, parent, lane: own });
    const below = (children.get(node) ?? []).sort(order);
    for (const [i, child] of below.entries()) {
      // Drawn next: the branches first, and the one that stays in the lane at last, close to nothing it would cross.
      stack.push({ node: child, parent: node, lane: i === 0 ? own : null });
    }
  }
  return rows;
}
