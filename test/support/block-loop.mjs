// Preloaded into a worker (`--import`): at SIGUSR2 its event loop stands still for LONGHAUL_TEST_BLOCK_MS.
process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(process.env.LONGHAUL_TEST_BLOCK_MS));
});
