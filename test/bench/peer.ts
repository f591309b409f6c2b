// llama.cpp's side: llama-bench and llama-batched-bench from a folder, else node-llama-cpp from a node_modules folder.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire, findPackageJSON } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const output = { maxBuffer: 1 << 26 };

export interface Peer {
  readonly name: string;
  /** Tokens a second. Rejects when `limit` aborts, which ends the process. */
  prefill(gguf: string, threads: number, tokens: number, limit?: AbortSignal): Promise<number>;
  decode(gguf: string, threads: number, sessions: number, steps: number, limit?: AbortSignal): Promise<number>;
}

const missing = (
  at: string,
) => `no llama.cpp at ${at}: --peer takes the folder of llama-bench and llama-batched-bench, or one \
where \`npm install node-llama-cpp@3.22.1\` was run (without a folder: the current one)`;

export async function findPeer(at: string): Promise<Peer> {
  const dir = resolve(at);
  if (existsSync(join(dir, 'llama-bench'))) return binaries(dir);
  const node = findNode(dir);
  if (node) return node;
  throw new Error(missing(dir));
}

/** The way a Node program would use llama.cpp, in a process of its own; null where it is not installed. */
export function findNode(dir: string): Peer | null {
  let version: string;
  let entry: string;
  try {
    const from = join(resolve(dir), 'x.js');
    entry = createRequire(from).resolve('node-llama-cpp');
    version = String(JSON.parse(readFileSync(findPackageJSON('node-llama-cpp', from)!, 'utf8')).version);
  } catch {
    return null;
  }
  const script = fileURLToPath(new URL('node-llama-cpp.ts', import.meta.url));
  const rate = async (signal: AbortSignal | undefined, ...args: (string | number)[]) => {
    const { stdout } = await run(process.execPath, [script, entry, ...args.map(String)], { ...output, signal });
    return Number(JSON.parse(stdout.trim().split('\n').at(-1)!).rate);
  };
  return {
    name: `node-llama-cpp ${version}`,
    prefill: (gguf, threads, tokens, limit) => rate(limit, gguf, threads, 'prefill', tokens, 1),
    decode: (gguf, threads, sessions, steps, limit) => rate(limit, gguf, threads, 'decode', steps, sessions),
  };
}

async function binaries(dir: string): Promise<Peer> {
  const bench = async (gguf: string, signal: AbortSignal | undefined, args: string[]) => {
    const all = ['-m', gguf, '-o', 'json', '-r', '1', ...args];
    const { stdout } = await run(join(dir, 'llama-bench'), all, { ...output, signal });
    return (JSON.parse(stdout) as { avg_ts: number }[])[0]!;
  };
  return {
    name: `llama-bench in ${dir}`,
    prefill: async (gguf, threads, tokens, limit) =>
      (await bench(gguf, limit, ['--no-warmup', '-t', `${threads}`, '-p', `${tokens}`, '-n', '0'])).avg_ts,
    async decode(gguf, threads, sessions, steps, limit) {
      if (sessions === 1) return (await bench(gguf, limit, ['-t', `${threads}`, '-p', '0', '-n', `${steps}`])).avg_ts;
      const args = ['-m', gguf, '-c', '65536', '-b', '2048', '-ub', '512', '-npp', '8', '-ntg', `${steps}`];
      args.push('-npl', `${sessions}`, '-t', `${threads}`, '--output-format', 'jsonl');
      const { stdout } = await run(join(dir, 'llama-batched-bench'), args, { ...output, signal: limit });
      const line = stdout.split('\n').find((text) => text.startsWith('{'));
      if (line === undefined) throw new Error(`llama-batched-bench printed no result: ${stdout.slice(-300)}`);
      return Number(JSON.parse(line).speed_tg);
    },
  };
}
