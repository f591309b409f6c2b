// Starts a private Redis in the folder given, tells its process id and port, and waits to be killed.
import { startPrivateRedis } from '@longhaul/core/redis';

const server = await startPrivateRedis({ dir: process.argv[2]!, env: process.env });
process.stdout.write(`${JSON.stringify({ pid: server.pid, port: server.port })}\n`);
setInterval(() => {}, 60_000);
