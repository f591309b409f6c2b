/**
 * Hugging Face keeps d_conv columns of convolution inputs, the newest last; the oldest of them is never read again.
 * Ours are its last d_conv − 1 columns, oldest first.
 *
 * values (rows × d_conv), row-major -> (rows × (d_conv − 1))
 */
export function convStateFromHuggingFace(values: Float64Array, dConv: number): Float64Array {
  const rows = values.length / dConv;
  if (!Number.isInteger(rows)) throw new Error(`${values.length} values are not rows of d_conv = ${dConv}`);
  const kept = dConv - 1;
  const out = new Float64Array(rows * kept);
  for (let row = 0; row < rows; row++) {
    out.set(values.subarray(row * dConv + 1, (row + 1) * dConv), row * kept);
  }
  return out;
}
