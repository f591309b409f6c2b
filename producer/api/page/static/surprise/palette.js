/** From calm to surprising, away from the ground: each step differs in brightness, so every kind of colour vision sees them. */
const onLight = [
  [104, 153, 157],
  [66, 127, 145],
  [40, 94, 128],
  [42, 58, 104],
  [52, 12, 66],
];
const onDark = [
  [70, 112, 116],
  [60, 148, 138],
  [110, 182, 126],
  [190, 214, 110],
  [255, 244, 160],
];

export const darkScheme = window.matchMedia('(prefers-color-scheme: dark)');

/** @param {number} share 0 to 1 */
export function colourOf(share) {
  const stops = darkScheme.matches ? onDark : onLight;
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  const mix = stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * (at - i)));
  return `rgb(${mix.join(' ')})`;
}
