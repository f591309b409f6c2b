import type { Checkpoint, ReferenceLayer } from './checkpoint.ts';

/** The functions of the model that are neither a matrix nor a sum; a test replaces one to see the checker notice. */
export interface Ops {
  readonly convActivation: (v: number) => number;
  readonly gateActivation: (v: number) => number;
  /** delta from dt_proj's output. */
  readonly timeStep: (v: number) => number;
  /** Factor of B·x for one channel: delta (Euler), not (exp(delta A) − 1) / A. */
  readonly inputFactor: (delta: number, a: number) => number;
  readonly normalizeDt: Normalize;
  readonly normalizeB: Normalize;
  readonly normalizeC: Normalize;
  readonly finalNorm: Normalize;
}
type Normalize = (v: Float64Array, eps: number) => Float64Array;

export const falconMamba: Ops = {
  convActivation: silu,
  gateActivation: silu,
  timeStep: softplus,
  inputFactor: (delta) => delta,
  normalizeDt: rmsNorm,
  normalizeB: rmsNorm,
  normalizeC: rmsNorm,
  finalNorm: rmsNorm,
};

/** State of one sequence in f64: conv (n_layer × d_inner × (d_conv − 1)) oldest first, ssm (n_layer × d_inner × d_state). */
export interface ReferenceState {
  readonly conv: Float64Array;
  readonly ssm: Float64Array;
}

/**
 * Feeds one token and updates the state in place; gives the logits (vocab), f64.
 * The shortest statement of the model, one token at a time: no chunks, no batch, nothing fused.
 */
export function feedToken(model: Checkpoint, ops: Ops, state: ReferenceState, token: number): Float64Array {
  const { dModel, dInner, dConv, dState, normEps } = model;
  const residual = model.embedding.slice(token * dModel, (token + 1) * dModel);
  const convSize = dInner * (dConv - 1);
  model.layers.forEach((layer, i) => {
    const conv = state.conv.subarray(i * convSize, (i + 1) * convSize);
    const ssm = state.ssm.subarray(i * dInner * dState, (i + 1) * dInner * dState);
    const out = mix(model, ops, layer, conv, ssm, scale(rmsNorm(residual, normEps), layer.norm));
    for (let j = 0; j < dModel; j++) residual[j]! += out[j]!;
  });
  return matVec(model.lmHead, scale(ops.finalNorm(residual, normEps), model.normF));
}

function mix(
  model: Checkpoint,
  ops: Ops,
  layer: ReferenceLayer,
  conv: Float64Array,
  ssm: Float64Array,
  input: Float64Array,
): Float64Array {
  const { dInner, dConv, dState, dtRank, mixerEps } = model;
  const projected = matVec(layer.inProj, input, layer.inProjBias);
  const gate = projected.subarray(dInner);
  const u = new Float64Array(dInner);
  for (let c = 0; c < dInner; c++) {
    const x = projected[c]!;
    const past = conv.subarray(c * (dConv - 1), (c + 1) * (dConv - 1));
    let sum = layer.convBias[c]! + layer.conv[c * dConv + dConv - 1]! * x;
    for (let k = 0; k < dConv - 1; k++) sum += layer.conv[c * dConv + k]! * past[k]!;
    u[c] = ops.convActivation(sum);
    past.copyWithin(0, 1);
    if (dConv > 1) past[dConv - 2] = x;
  }
  const parameters = matVec(layer.xProj, u);
  const dt = ops.normalizeDt(parameters.slice(0, dtRank), mixerEps);
  const b = ops.normalizeB(parameters.slice(dtRank, dtRank + dState), mixerEps);
  const c = ops.normalizeC(parameters.slice(dtRank + dState), mixerEps);
  const steps = matVec(layer.dtProj, dt, layer.dtBias);
  const y = new Float64Array(dInner);
  for (let i = 0; i < dInner; i++) {
    const delta = ops.timeStep(steps[i]!);
    let sum = layer.d[i]! * u[i]!;
    for (let n = 0; n < dState; n++) {
      const at = i * dState + n;
      const a = -Math.exp(layer.aLog[at]!);
      ssm[at] = Math.exp(delta * a) * ssm[at]! + ops.inputFactor(delta, a) * b[n]! * u[i]!;
      sum += c[n]! * ssm[at]!;
    }
    y[i] = sum * ops.gateActivation(gate[i]!);
  }
  return matVec(layer.outProj, y, layer.outProjBias);
}

export function logSoftmax(logits: Float64Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const logSum = Math.log(logits.reduce((sum, z) => sum + Math.exp(z - most), 0));
  return logits.map((z) => z - most - logSum);
}

function matVec(matrix: Float64Array, vector: Float64Array, bias: Float64Array | null = null): Float64Array {
  const columns = vector.length;
  const out = new Float64Array(matrix.length / columns);
  for (let row = 0; row < out.length; row++) {
    let sum = bias === null ? 0 : bias[row]!;
    const from = row * columns;
    for (let j = 0; j < columns; j++) sum += matrix[from + j]! * vector[j]!;
    out[row] = sum;
  }
  return out;
}

function rmsNorm(v: Float64Array, eps: number): Float64Array {
  const mean = v.reduce((sum, x) => sum + x * x, 0) / v.length;
  const factor = 1 / Math.sqrt(mean + eps);
  return v.map((x) => x * factor);
}

function scale(v: Float64Array, weight: Float64Array): Float64Array {
  return v.map((x, i) => x * weight[i]!);
}

function silu(v: number): number {
  return v / (1 + Math.exp(-v));
}

/** torch's softplus is the identity above 20. */
function softplus(v: number): number {
  return v > 20 ? v : Math.log1p(Math.exp(v));
}
