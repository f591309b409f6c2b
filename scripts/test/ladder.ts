/**
 * The test files that take long: waits for locks and deadlines to run out, builds of programs of their own, long texts.
 * `npm test` leaves them out; `npm test -- --all` runs them behind everything else, and so does CI.
 */
export const ladder: readonly string[] = [
  'test/fault/alerts.test.ts',
  'test/fault/ask.test.ts',
  'test/fault/bad-disk-full.test.ts',
  'test/fault/bad-ledger.test.ts',
  'test/fault/bad-luck.test.ts',
  'test/fault/bad-poison.test.ts',
  'test/fault/bad-source-stalled.test.ts',
  'test/fault/bad-utf8.test.ts',
  'test/fault/collector-away.test.ts',
  'test/fault/controller.test.ts',
  'test/fault/joined.test.ts',
  'test/fault/kill-points.test.ts',
  'test/fault/ownership.test.ts',
  'test/fault/preemption.test.ts',
  'test/fault/prefix-cache.test.ts',
  'test/fault/redis.test.ts',
  'test/fault/soak.test.ts',
  'test/fault/store-answers.test.ts',
  'test/fault/store-away.test.ts',
  'test/fault/store.test.ts',
  'test/integration/from-zero.test.ts',
  'test/integration/terraform-rights.test.ts',
  'test/native/gpu-check.test.ts',
  'test/property/streaming-tokenizer-long.test.ts',
];
