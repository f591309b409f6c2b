// The health check of every image: asks the process beside it, at LONGHAUL_METRICS_ADDRESS, and exits 0 where it answers 200.
// `node healthcheck.mjs` asks whether it is alive, `node healthcheck.mjs readyz` whether it does its work.
const [path = 'healthz'] = process.argv.slice(2);
const address = process.env.LONGHAUL_METRICS_ADDRESS ?? '';
const port = /(?:^|:)(\d+)$/.exec(address)?.[1];

if (port === undefined) {
  console.error(`LONGHAUL_METRICS_ADDRESS is host:port; found ${JSON.stringify(address)}`);
  process.exit(1);
}
try {
  const response = await fetch(`http://127.0.0.1:${port}/${path}`, { signal: AbortSignal.timeout(4000) });
  if (!response.ok) {
    console.error(`/${path} answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
    process.exit(1);
  }
} catch (error) {
  console.error(`/${path} does not answer: ${error.cause?.message ?? error.message}`);
  process.exit(1);
}
