// Preloaded into a worker (`--import`): its wall clock is off by LONGHAUL_TEST_CLOCK_MS. Monotonic time is left alone.
const shift = Number(process.env.LONGHAUL_TEST_CLOCK_MS);
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [RealDate.now() + shift] : args));
  }
  static now() {
    return RealDate.now() + shift;
  }
};
