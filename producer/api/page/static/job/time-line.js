import { h, s, setText } from '../dom.js';
import { count, counted, duration, moment } from '../format.js';
import { happeningsOf, tenuresOf } from './happenings.js';

const height = 132;
const pad = { left: 8, right: 12, top: 20, bottom: 22 };
const marksOf = { takeover: '▲', preempted: '◆', fallback: '▼', redriven: '↻', ended: '■' };

/**
 * The run of a job: time to the right, committed tokens upwards. Bands are the workers that held it, dots are commits, and
 * what interrupted it has a mark. The same stands below as a list.
 */
export function timeLine() {
  const drawing = h('div', { class: 'time-line' });
  const list = h('ol', { class: 'happenings' });
  const summary = h('summary');
  const legend = h('p', { class: 'legend hint' });
  const note = h('p', { class: 'hint' });
  const element = h(
    'div',
    {},
    drawing,
    h('div', { class: 'row apart' }, note, legend),
    h('details', {}, summary, list),
  );
  let last = null;
  let keys = '';
  const draw = () => {
    if (last === null) return;
    const width = Math.max(240, drawing.clientWidth);
    drawing.replaceChildren(picture(last, width));
  };
  new ResizeObserver(draw).observe(drawing);
  const show = (timeline) => {
    const told = happeningsOf(timeline);
    last = { ...timeline, told };
    draw();
    setText(note, summaryText(last));
    setText(legend, legendText(told));
    setText(summary, `All that happened (${told.length})`);
    const now = told.map(({ kind, at }) => `${kind}${at}`).join();
    if (now === keys) return;
    keys = now;
    list.replaceChildren(
      ...told.map(({ at, kind, text }) =>
        h(
          'li',
          { 'data-kind': kind },
          h('time', { datetime: new Date(at).toISOString() }, moment(at)),
          ' ',
          h('span', {}, text),
        ),
      ),
    );
  };
  return { element, show };
}

function summaryText({ told, commits }) {
  const of = (kind) => told.filter((one) => one.kind === kind).length;
  const parts = [
    [commits, 'commit'],
    [of('takeover'), 'takeover'],
    [of('preempted'), 'hand-back'],
    [of('fallback'), 'fall back'],
    [of('redriven'), 'redrive'],
  ];
  return parts
    .filter(([n], i) => n > 0 || i === 0)
    .map(([n, noun]) => counted(n, noun))
    .join(', ');
}

const words = {
  takeover: 'takeover',
  preempted: 'handed back',
  fallback: 'fell back',
  redriven: 'redriven',
  ended: 'end',
};

function legendText(told) {
  const kinds = Object.keys(words).filter((kind) => told.some((one) => one.kind === kind));
  return ['● commit', ...kinds.map((kind) => `${marksOf[kind]} ${words[kind]}`)].join('   ');
}

function picture(timeline, width) {
  const { told, status, now } = timeline;
  const ended = status !== 'running' && status !== 'queued';
  const from = told[0].at;
  const to = Math.max(told.at(-1).at, ended ? from + 1 : Math.max(Date.parse(now), from + 1000));
  const most = Math.max(1, ...told.map(({ tokens }) => tokens));
  const x = (at) => pad.left + ((at - from) / (to - from)) * (width - pad.left - pad.right);
  const y = (tokens) => height - pad.bottom - (tokens / most) * (height - pad.top - pad.bottom);
  const bands = tenuresOf(told).map((span, i) =>
    s('rect', {
      class: `tenure ${i % 2 === 0 ? 'even' : 'odd'} ${span.lost ? 'lost' : ''}`,
      x: x(span.from),
      y: pad.top - 6,
      width: Math.max(1, x(span.to ?? to) - x(span.from)),
      height: height - pad.top - pad.bottom + 6,
    }),
  );
  let path = `M${x(from)} ${y(0)}`;
  for (const { at, tokens } of told) path += `H${x(at)}V${y(tokens)}`;
  path += `H${x(to)}`;
  const dots = told
    .filter(({ kind }) => kind === 'commit')
    .map(({ at, tokens, text }) =>
      s('circle', { class: 'commit', cx: x(at), cy: y(tokens), r: 3 }, s('title', {}, text)),
    );
  const marks = told
    .filter(({ kind }) => kind in marksOf)
    .flatMap(({ kind, at, text }) => [
      s('line', { class: `rule ${kind}`, x1: x(at), x2: x(at), y1: pad.top - 6, y2: height - pad.bottom }),
      s(
        'text',
        { class: `mark ${kind}`, x: x(at), y: pad.top - 9, 'text-anchor': 'middle' },
        marksOf[kind],
        s('title', {}, text),
      ),
    ]);
  const axis = [
    s('line', { class: 'axis', x1: pad.left, x2: width - pad.right, y1: height - pad.bottom, y2: height - pad.bottom }),
    s('text', { class: 'tick', x: pad.left, y: height - 6 }, moment(from)),
    s(
      'text',
      { class: 'tick', x: width - pad.right, y: height - 6, 'text-anchor': 'end' },
      `+${duration((to - from) / 1000)}`,
    ),
    s('text', { class: 'tick', x: pad.left, y: 11 }, `${count(most)} tokens`),
  ];
  return s(
    'svg',
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'aria-label': `Time line: ${summaryText(timeline)} in ${duration((to - from) / 1000)}`,
    },
    ...bands,
    ...axis,
    s('path', { class: 'area', d: `${path}V${y(0)}H${x(from)}Z` }),
    s('path', { class: 'line', d: path }),
    ...dots,
    ...marks,
  );
}
