import { s, setAttribute } from '../dom.js';
import { count } from '../format.js';

const mostPoints = 120;
const width = 120;
const height = 28;

/** The last tokens a second, as a small line. */
export function sparkline() {
  const values = [];
  const area = s('path', { class: 'area' });
  const line = s('path', { class: 'line' });
  const element = s(
    'svg',
    { class: 'sparkline', hidden: true, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img' },
    area,
    line,
  );
  const push = (value) => {
    values.push(value);
    if (values.length > mostPoints) values.shift();
    element.removeAttribute('hidden');
    const most = Math.max(...values, 1);
    const x = (i) => (values.length === 1 ? width : (i / (values.length - 1)) * width);
    const y = (v) => height - 2 - (v / most) * (height - 4);
    const points = values.map((v, i) => `${x(i).toFixed(1)} ${y(v).toFixed(1)}`);
    const path = values.length === 1 ? `M0 ${y(values[0])}L${points[0]}` : `M${points.join('L')}`;
    line.setAttribute('d', path);
    area.setAttribute('d', `${path}L${width} ${height}L0 ${height}Z`);
    setAttribute(element, 'aria-label', `Tokens a second of late: ${count(Math.min(...values))} to ${count(most)}`);
  };
  return { element, push };
}
