/** `1,234,567` */
export function count(n) {
  return Math.round(n).toLocaleString('en-US');
}

/** `4s`, `2m 05s`, `3h 07m`, `2d 04h`; `–` where it is not known. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.round(seconds));
  const [s, m, h, d] = [
    whole % 60,
    Math.floor(whole / 60) % 60,
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 86400),
  ];
  const two = (n) => String(n).padStart(2, '0');
  if (d > 0) return `${d}d ${two(h)}h`;
  if (h > 0) return `${h}h ${two(m)}m`;
  return m > 0 ? `${m}m ${two(s)}s` : `${s}s`;
}

/** `512 B`, `1.5 KiB`, `3.2 GiB`. */
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}

export function percent(fraction) {
  return fraction === null || fraction === undefined ? '–' : `${(fraction * 100).toFixed(fraction > 0.995 ? 0 : 1)}%`;
}

/** `1 commit`, `2 commits`. */
export function counted(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** The time of day, with the date where it is another day. */
export function moment(iso, now = new Date()) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString('en-GB');
  return at.toDateString() === now.toDateString() ? time : `${at.toLocaleDateString('en-CA')} ${time}`;
}

/** `book@3` */
export function point({ name, version }) {
  return version === null ? name : `${name}@${version}`;
}
