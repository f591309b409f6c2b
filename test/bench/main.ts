// `npm run bench`: correctness, ceilings, the engine, and llama.cpp beside it in the same run.
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { type Model, probeEngine } from '@longhaul/native';
import { formats, type Size, sizes, type Weights, weightNames } from './cases.ts';
import { type Ceilings, measureCeilings } from './ceilings.ts';
import { assertCorrect, decodeRate, load, prefillRate } from './ours.ts';
import { findNode, findPeer, type Peer } from './peer.ts';
import { prepareModels } from './random-model/prepare.ts';
import { ceilingsTable, type PeerRow, peerRowOf, type Row, resultsTable, rowOf } from './report.ts';
import { besideSpinner, type SpinnerRow, spinnerTable } from './spinner.ts';
import { spreadOf } from './stats.ts';
import { nodeTarget, type Phase, targetOf } from './targets.ts';

const usage = `bench: the engine beside this machine's ceilings, and beside llama.cpp

  npm run bench -- [--peer [DIR]] [--sizes LIST] [--weights LIST] [--threads LIST] [--sessions LIST] [--rounds N]
                   [--quick] [--models DIR] [--json]

Models with random weights in the shapes of Mamba-130M and 790M are made once (.cache/bench, 4 GB). Before anything is
timed, every cut of a document must give the same bits. A figure is the median of the rounds; ours and the peer's take turns.

  --peer [DIR]     a folder with llama-bench and llama-batched-bench, or one with node_modules/node-llama-cpp
                   (default: the current folder)
  --node-peer DIR  node-llama-cpp as well, decoding for up to 8 sessions
  --sizes LIST     130m,790m     --weights LIST  bf16,int8,nf4 (beside BF16, Q8_0, Q4_0)
  --threads LIST   1,2           --sessions LIST decode together (default 1,8; the whole curve: 1,2,4,8,16,32)
  --rounds N       default 3     --quick         130m, 2 threads, fewer tokens, one round: a look, not a result
  --models DIR     use or make the models there
  --json           one JSON object on stdout

Examples:
  npm run bench -- --quick
  npm run bench -- --peer ~/llama.cpp/build/bin --threads 2
  npm run bench -- --sizes 130m --sessions 1,2,4,8,16,32`;

/** node-llama-cpp takes minutes beyond. */
const nodeSessions = 8;

interface Plan {
  readonly sizes: readonly Size[];
  readonly weights: readonly Weights[];
  readonly threads: readonly number[];
  readonly sessions: readonly number[];
  readonly rounds: number;
  readonly prefillTokens: number;
  readonly decodeSteps: number;
}

interface Measure {
  readonly phase: Phase;
  readonly sessions: number;
  readonly ours: (model: Model) => Promise<number>;
  readonly theirs: (peer: Peer, gguf: string, threads: number) => Promise<number>;
}

function listOf<T extends string>(text: string | undefined, name: string, allowed: readonly T[]): readonly T[] {
  if (text === undefined) return allowed;
  return text.split(',').map((item) => {
    const found = allowed.find((one) => one === item);
    if (found === undefined) throw new Error(`--${name} takes ${allowed.join(', ')}, found ${item}`);
    return found;
  });
}

function numbersOf(text: string, name: string, most: number): readonly number[] {
  return text.split(',').map((item) => {
    const value = Number(item);
    if (!Number.isInteger(value) || value < 1 || value > most)
      throw new Error(`--${name} takes whole numbers from 1 to ${most}, found ${item}`);
    return value;
  });
}

const progress = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);

function measuresOf(plan: Plan): Measure[] {
  const { prefillTokens, decodeSteps } = plan;
  return [
    {
      phase: 'prefill',
      sessions: 1,
      ours: (model) => prefillRate(model, prefillTokens),
      theirs: (peer, gguf, threads) => peer.prefill(gguf, threads, prefillTokens),
    },
    ...plan.sessions.map((sessions): Measure => {
      const steps = Math.max(8, Math.round(decodeSteps / Math.sqrt(sessions)));
      return {
        phase: 'decode',
        sessions,
        ours: (model) => decodeRate(model, sessions, steps),
        theirs: (peer, gguf, threads) => peer.decode(gguf, threads, sessions, steps),
      };
    }),
  ];
}

interface Outcome {
  readonly rows: Row[];
  readonly peer: PeerRow[];
}

async function measureModel(
  plan: Plan,
  dir: string,
  size: Size,
  weights: Weights,
  ceilings: Ceilings,
  peer: Peer | null,
  nodePeer: Peer | null,
  out: Outcome,
): Promise<void> {
  const { threads } = ceilings;
  const model = await load(`${dir}/fm-${size}-hf`, formats[weights].option, 'matched', threads);
  const gguf = `${dir}/fm-${size}-${formats[weights].gguf}.gguf`;
  try {
    await assertCorrect(model);
    await prefillRate(model, 256);
    for (const measure of measuresOf(plan)) {
      progress(`${size} ${weights}, ${threads} threads: ${measure.phase}, ${measure.sessions} sessions`);
      const ours: number[] = [];
      const theirs: number[] = [];
      const nodes: number[] = [];
      for (let round = 0; round < plan.rounds; round++) {
        ours.push(await measure.ours(model));
        if (peer) theirs.push(await measure.theirs(peer, gguf, threads));
        if (nodePeer && measure.phase === 'decode' && measure.sessions <= nodeSessions)
          nodes.push(await measure.theirs(nodePeer, gguf, threads));
      }
      const row = rowOf(measure.phase, size, weights, measure.sessions, spreadOf(ours), ceilings);
      out.rows.push(row);
      const target = threads === 2 ? targetOf(measure.phase, size, weights, measure.sessions) : null;
      if (peer) out.peer.push(peerRowOf(row, peer.name, spreadOf(theirs), target));
      if (nodes.length > 0) out.peer.push(peerRowOf(row, nodePeer!.name, spreadOf(nodes), nodeTarget));
    }
  } finally {
    model.close();
  }
}

async function main(args: string[]): Promise<void> {
  const peerAt = args.indexOf('--peer');
  // --peer may stand without a folder.
  const withPeer = args.flatMap((arg, i) =>
    i === peerAt && (args[i + 1] ?? '--').startsWith('--') ? [arg, '.'] : [arg],
  );
  const { values } = parseArgs({
    args: withPeer,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      peer: { type: 'string' },
      'node-peer': { type: 'string' },
      sizes: { type: 'string' },
      weights: { type: 'string' },
      threads: { type: 'string' },
      sessions: { type: 'string' },
      rounds: { type: 'string' },
      models: { type: 'string', default: fileURLToPath(new URL('../../.cache/bench', import.meta.url)) },
    },
  });
  if (values.help) return console.log(usage);
  const { quick } = values;
  const plan: Plan = {
    sizes: listOf(values.sizes ?? (quick ? '130m' : undefined), 'sizes', sizes),
    weights: listOf(values.weights, 'weights', weightNames),
    threads: numbersOf(values.threads ?? (quick ? '2' : '1,2'), 'threads', 64),
    sessions: numbersOf(values.sessions ?? '1,8', 'sessions', 256),
    rounds: numbersOf(values.rounds ?? (quick ? '1' : '3'), 'rounds', 99)[0]!,
    prefillTokens: quick ? 512 : 2048,
    decodeSteps: quick ? 24 : 64,
  };
  const peer = values.peer === undefined ? null : await findPeer(values.peer);
  const nodePeer = values['node-peer'] === undefined ? null : findNode(values['node-peer']);
  if (values['node-peer'] !== undefined && !nodePeer)
    throw new Error(`no node-llama-cpp at ${values['node-peer']}: run \`npm install node-llama-cpp@3.22.1\` there`);

  await prepareModels(values.models, plan.sizes, peer || nodePeer ? plan.weights : [], progress);
  const { cpuModel, cpuFeatures } = await probeEngine();
  const started = new Date().toISOString();
  const ceilings = plan.threads.map((threads) => {
    progress(`ceilings, ${threads} threads`);
    return measureCeilings(threads);
  });
  const out: Outcome = { rows: [], peer: [] };
  for (const size of plan.sizes)
    for (const weights of plan.weights)
      for (const ceiling of ceilings)
        await measureModel(plan, values.models, size, weights, ceiling, peer, nodePeer, out);
  const spinner: SpinnerRow[] = [];
  if (plan.sizes.includes('130m') && plan.threads.includes(2))
    for (const weights of plan.weights.filter((name) => name !== 'nf4')) {
      progress(`130m ${weights}, 2 threads: beside a busy process`);
      spinner.push(...(await besideSpinner(values.models, weights, peer)));
    }
  const about = {
    cpu: cpuModel,
    features: cpuFeatures,
    node: process.version,
    started,
    load: loadavg()[0],
    rounds: plan.rounds,
  };
  if (values.json) {
    console.log(JSON.stringify({ ...about, ceilings, rows: out.rows, peer: out.peer, spinner }, null, 1));
    return;
  }
  console.log(`${cpuModel}, ${started}, ${plan.rounds} rounds, load at the end ${about.load!.toFixed(2)}\n`);
  console.log(`Ceilings\n\n${ceilingsTable(ceilings)}\n\nThe engine\n\n${resultsTable(out.rows, out.peer)}`);
  if (spinner.length > 0) console.log(`\nBeside one busy process, 2 threads\n\n${spinnerTable(spinner)}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
