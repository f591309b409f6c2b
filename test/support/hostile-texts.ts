import fc from 'fast-check';

export const longAdded = '<|a_special_token_longer_than_any_lookahead|>';

/** What splitters, merges and the decoder trip over; more than three of each come in runs. */
const bits = [
  ...' \n\t\r\u00a0\u3000\u0085\u200b\ufeff\u000b',
  ...'aeosxtmdT',
  ...'0129²½٣Ⅷ',
  ..."'’!?.,-_=+$`<>|«»、。¡§¶·\u166d\u2e5d",
  ...'éòñßяпщ日本漢한😀👍🏽\u0301\u{80000}\u{10ffff}\u0000\u0003\u0004\u001e',
  ...[
    "'s",
    "'t",
    "'re",
    "'ve",
    "'ll",
    "'d",
    "'m",
    " '",
    "''s",
    "'S",
    '  ',
    '\n\n',
    ' \n ',
    ' a',
    ' 1',
    '123',
    '1234567',
  ],
  ...[
    '<|endoftext|>',
    '<|endoftext',
    '|>',
    '>>TITLE<<',
    '>>TITLE',
    'assistant',
    'assistan',
    'ssistant',
    '<|im_start|>',
  ],
  ...[longAdded, longAdded.slice(0, -1), longAdded.slice(0, 9)],
  ...[' the', 'ing', ' hello', 'tion', '    return', '--------', '================', '\r\n'],
];
const piece = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...bits) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...bits), fc.integer({ min: 2, max: 40 })).map(([b, n]) => b.repeat(n)),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }).map((s) => s.toWellFormed()) },
);
export const shortText = fc.array(piece, { maxLength: 14 }).map((parts) => parts.join(''));
/** Long enough to be cut into slices and to make pieces that are given out before they end. */
export const longText = fc
  .array(
    fc.tuple(fc.array(fc.constantFrom(...bits), { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 12_000 })),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((runs) => runs.map(([unit, n]) => unit.join('').repeat(Math.ceil(n / unit.length))).join(''));
