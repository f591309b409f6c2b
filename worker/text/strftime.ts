const two = (n: number) => String(n).padStart(2, '0');
const named = (date: Date, options: Intl.DateTimeFormatOptions) =>
  new Intl.DateTimeFormat('en-US', { ...options, timeZone: 'UTC' }).format(date);

const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getUTCFullYear()),
  y: (date) => two(date.getUTCFullYear() % 100),
  m: (date) => two(date.getUTCMonth() + 1),
  d: (date) => two(date.getUTCDate()),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(date.getUTCHours() % 12 || 12),
  M: (date) => two(date.getUTCMinutes()),
  S: (date) => two(date.getUTCSeconds()),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  B: (date) => named(date, { month: 'long' }),
  b: (date) => named(date, { month: 'short' }),
  A: (date) => named(date, { weekday: 'long' }),
  a: (date) => named(date, { weekday: 'short' }),
  '%': () => '%',
};

/** A moment as Python's strftime writes it in UTC and English. @throws RangeError naming a directive that is not known */
export function strftime(date: Date, format: string): string {
  return format.replaceAll(/%(.?)/gs, (directive, letter: string) => {
    const write = directives[letter];
    if (write === undefined) throw new RangeError(`strftime has no ${directive}`);
    return write(date);
  });
}
