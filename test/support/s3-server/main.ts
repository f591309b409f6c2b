import { parseArgs } from 'node:util';
import { startS3Server } from './index.ts';

const { values } = parseArgs({ options: { port: { type: 'string' }, 'data-dir': { type: 'string' } } });
const dataDir = values['data-dir'];
const server = await startS3Server({
  ...(values.port === undefined ? {} : { port: Number(values.port) }),
  ...(dataDir === undefined ? {} : { dataDir }),
});
const { url, port, bucket, accessKeyId, secretAccessKey, region } = server;
process.stdout.write(`${JSON.stringify({ url, port, bucket, accessKeyId, secretAccessKey, region })}\n`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void server.close());
