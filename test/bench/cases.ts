// The random-weight models that are measured: names, shapes, and what each format is called on either side.
export type Size = '130m' | '790m';
export type Weights = 'bf16' | 'int8' | 'nf4';

export interface Shape {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly dInner: number;
  readonly nLayer: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
}

const shape = (dModel: number, nLayer: number): Shape => ({
  vocabSize: 65024,
  dModel,
  dInner: 2 * dModel,
  nLayer,
  dState: 16,
  dConv: 4,
  dtRank: dModel / 16,
});

export const shapes: Readonly<Record<Size, Shape>> = { '130m': shape(768, 24), '790m': shape(1536, 48) };
export const sizes = Object.keys(shapes) as readonly Size[];

/** Ours by the peer's name: bf16 beside BF16, int8 beside Q8_0, nf4 beside Q4_0. */
export const formats: Readonly<
  Record<
    Weights,
    {
      readonly option: 'as-stored' | 'int8' | 'nf4';
      readonly gguf: string;
      readonly ceiling: 'bf16GFLOPs' | 'int8GOPs';
    }
  >
> = {
  bf16: { option: 'as-stored', gguf: 'bf16', ceiling: 'bf16GFLOPs' },
  int8: { option: 'int8', gguf: 'Q8_0', ceiling: 'int8GOPs' },
  nf4: { option: 'nf4', gguf: 'Q4_0', ceiling: 'int8GOPs' },
};
export const weightNames = Object.keys(formats) as readonly Weights[];

/** Multiplications of the projections and of the head, for one token. */
export function macs({ dModel, dInner, nLayer, dState, dtRank, vocabSize }: Shape): { layers: number; head: number } {
  const layer = 2 * dInner * dModel + dInner * (dtRank + 2 * dState) + dtRank * dInner + dInner * dModel;
  return { layers: nLayer * layer, head: vocabSize * dModel };
}

/** Bytes that one step reads: all weights once, and each session's state in and out. */
export function stepBytes(shape: Shape, weights: Weights, sessions: number): number {
  const { layers, head } = macs(shape);
  const { nLayer, dInner, dState, dConv } = shape;
  const each = { bf16: 2, int8: 1, nf4: 0.5625 }[weights];
  const small = 4 * nLayer * dInner * (dState + dConv + 4);
  const state = 4 * nLayer * dInner * (dState + dConv - 1);
  return layers * each + head * (weights === 'bf16' ? 2 : 1) + small + 2 * sessions * state;
}
