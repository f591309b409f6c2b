// `npm run bench:ask`: many questions about one book, beside reading the book once and asking them.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { type AskTask, describeError, type JobSpec, type Task } from '@longhaul/core/contracts';
import type { Session, StepItem, Want } from '@longhaul/native';
import { type LoadedModel, loadServedModel, modelDirectory } from '../../worker/adapters/model.ts';
import { Cluster } from '../support/cluster.ts';
import { greedySampling } from '../support/tasks.ts';
import { bookOf, putDocument, tokensOf } from './overhead/document.ts';
import { type Spread, spreadOf } from './stats.ts';

const most = 1.1;
const chunkTokens = 2048;

const help = `bench:ask: many questions about one book, beside reading the book once and asking them

  npm run bench:ask -- [--bytes N] [--questions N] [--answer N] [--forks N] [--model DIR] [--threads N] [--rounds N] [--json]

One job asks all questions of a book that it reads first. Beside it, in turns: one job that reads the book and saves the state
and one that asks the same questions of that state, on the same worker; and the bare engine, which reads the same tokens once and then
the questions, as many at once as the worker (what the worker costs around the engine is bench:overhead's). Exit code 1 unless the
job takes at most ${most} times as long as the two (the median over the rounds).

  --bytes N       of the book (default 1000000)
  --questions N   default 50
  --answer N      tokens of each answer (default 32)
  --forks N       questions answered at once (default 8)
  --model DIR     a model directory, or a name below models/ (default tiny-english)
  --threads N     threads of the engine (default 2)
  --rounds N      rounds (default 3)
  --json          one JSON object on stdout

Example:
  npm run bench:ask -- --questions 200 --answer 16`;

interface Setting {
  readonly questions: number;
  readonly answer: number;
  readonly forks: number;
  readonly threads: number;
  readonly rounds: number;
}

const promptOf = (i: number) => `\n\nQuestion ${i + 1}: What is told of the white whale? Answer: The whale`;

function taskOf({ questions, answer }: Setting): AskTask {
  const all = Array.from({ length: questions }, (_, i) => ({ id: null, prompt: promptOf(i), maxNewTokens: null }));
  return {
    kind: 'ask',
    questions: { kind: 'inline', questions: all },
    maxNewTokens: answer,
    sampling: greedySampling,
    stop: [],
    logprobs: false,
    topLogprobs: 0,
  };
}

/** Seconds of a job, from being taken to its end. */
async function jobSeconds(
  cluster: Cluster,
  jobId: string,
  document: JobSpec['document'],
  task: Task,
  names: Partial<Pick<JobSpec, 'from' | 'saveAs'>> = {},
) {
  await cluster.submit(jobId, document, task, {
    ...{ compression: 'none', invalidUtf8: 'replace', ...names },
    // Every round reads.
    prefixCache: false,
  });
  const result = await cluster.result(jobId, 3_600_000);
  const worker = cluster.workers[0]!;
  await worker.says(`"job":"${jobId}","loopDelay`);
  const lines = worker.lines.filter((line) => line.includes(`"job":"${jobId}"`)).map((line) => JSON.parse(line));
  const at = (message: string) => Date.parse(lines.find((line) => line.msg === message).time);
  return { result, seconds: (at('job ended') - at('job taken')) / 1000 };
}

const nothing: Want = { kind: 'nothing' };
const noIds = new Int32Array(0);

function sampleAt(position: number): Want {
  const { temperature, topK, topP, minP, repetitionPenalty } = greedySampling;
  const filters = { temperature, topK, topP, minP, repetitionPenalty, penalized: noIds };
  const logitBias = { ids: noIds, biases: new Float32Array(0) };
  return { kind: 'sample', sampling: { ...filters, logitBias, seed: 0n, position }, top: 0 };
}

/** Seconds of the engine and nothing else: the book in one session, then the questions on forks of it. */
async function bareSeconds({ model, tokenizer }: LoadedModel, book: Int32Array, setting: Setting): Promise<number> {
  const prompts = await Promise.all(Array.from({ length: setting.questions }, (_, i) => tokenizer.encode(promptOf(i))));
  const eos = new Set(model.info.eosTokenIds);
  const started = performance.now();
  const base = model.openSession();
  for (let at = 0; at < book.length; at += chunkTokens) {
    await model.step([{ session: base, tokens: book.subarray(at, at + chunkTokens), want: nothing }]);
  }
  let running: { readonly session: Session; next: Int32Array; count: number }[] = [];
  while (prompts.length > 0 || running.length > 0) {
    while (prompts.length > 0 && running.length < setting.forks) {
      running.push({ session: base.fork(), next: prompts.shift()!, count: 0 });
    }
    const items = running.map(
      ({ session, next, count }): StepItem => ({ session, tokens: next, want: sampleAt(count + 1) }),
    );
    const results = await model.step(items);
    for (const [i, one] of running.entries()) {
      const result = results[i]!;
      if (result.kind !== 'sample') throw new Error(`the engine answered ${result.kind}`);
      one.next = Int32Array.of(result.token);
      one.count = eos.has(result.token) ? setting.answer : one.count + 1;
      if (one.count >= setting.answer) one.session.close();
    }
    running = running.filter(({ count }) => count < setting.answer);
  }
  base.close();
  return (performance.now() - started) / 1000;
}

async function measure(dir: string, text: Buffer, setting: Setting) {
  const { forks, rounds, threads } = setting;
  const loaded = await loadServedModel(dir, {
    ...{ device: 'cpu', weights: 'as-stored', activations: 'matched' },
    ...{ threads, chunkTokens, slots: 1, forks },
  });
  const cluster = await Cluster.start({
    model: dir,
    env: {
      LONGHAUL_COMMIT_SECONDS: '30',
      LONGHAUL_COMMIT_TOKENS: '65536',
      LONGHAUL_CHUNK_TOKENS: String(chunkTokens),
      LONGHAUL_LOCK_MS: '90000',
      LONGHAUL_STALLED_MS: '30000',
      LONGHAUL_SLOTS: '1',
      LONGHAUL_FORKS: String(forks),
      LONGHAUL_THREADS: String(threads),
    },
  });
  try {
    await cluster.startWorker('measured');
    const source = await putDocument(cluster.ledger, text);
    const book = await tokensOf(loaded.tokenizer, text);
    const task = taskOf(setting);
    const { result } = await jobSeconds(cluster, 'warm-up-job', source, task);
    const questions = Array.from({ length: setting.questions }, (_, i) => loaded.tokenizer.encode(promptOf(i)));
    const asked = (await Promise.all(questions)).reduce((sum, { length }) => sum + length, 0);
    if (result.usage.inputTokens !== book.length + asked) {
      throw new Error(
        `the job read ${result.usage.inputTokens} tokens; book and questions have ${book.length + asked}`,
      );
    }
    await bareSeconds(loaded, book, setting);
    const found: { readonly job: number; readonly apart: number; readonly bare: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const name = `book-${round}`;
      const parts = {
        job: async () => (await jobSeconds(cluster, `whole-job-${round}`, source, task)).seconds,
        apart: async () => {
          const read = await jobSeconds(cluster, `read-job-${round}`, source, { kind: 'ingest' }, { saveAs: name });
          const from = { name, version: 1 };
          return read.seconds + (await jobSeconds(cluster, `asked-job-${round}`, null, task, { from })).seconds;
        },
        bare: () => bareSeconds(loaded, book, setting),
      };
      const seconds = { job: 0, apart: 0, bare: 0 };
      const order = ['job', 'apart', 'bare'] as const;
      for (const part of round % 2 === 0 ? order : order.toReversed()) seconds[part] = await parts[part]();
      found.push(seconds);
    }
    return {
      bookTokens: book.length,
      questionTokens: asked,
      answerTokens: result.usage.outputTokens,
      job: spreadOf(found.map(({ job }) => job)),
      apart: spreadOf(found.map(({ apart }) => apart)),
      bare: spreadOf(found.map(({ bare }) => bare)),
      ratio: spreadOf(found.map(({ job, apart }) => job / apart)),
      ofBare: spreadOf(found.map(({ job, bare }) => job / bare)),
    };
  } finally {
    await cluster.close();
    loaded.model.close();
  }
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number from 1, found ${text}`);
  return value;
}

const seconds = ({ median, min, max }: Spread) => `${median.toFixed(2)} s (${min.toFixed(2)} … ${max.toFixed(2)})`;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      bytes: { type: 'string', default: '1000000' },
      questions: { type: 'string', default: '50' },
      answer: { type: 'string', default: '32' },
      forks: { type: 'string', default: '8' },
      model: { type: 'string', default: 'tiny-english' },
      threads: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(help);
  const setting: Setting = {
    questions: whole('questions', values.questions),
    answer: whole('answer', values.answer),
    forks: whole('forks', values.forks),
    threads: whole('threads', values.threads),
    rounds: whole('rounds', values.rounds),
  };
  const dir = await modelDirectory(values.model);
  const found = await measure(dir, await bookOf(whole('bytes', values.bytes)), setting);
  const held = found.ratio.median <= most;
  const about = { model: dir, ...setting, load: loadavg()[0]! };
  if (values.json) console.log(JSON.stringify({ ...about, ...found, most, held }));
  else {
    const { bookTokens, questionTokens, answerTokens, job, apart, bare, ratio, ofBare } = found;
    const { threads, rounds, questions } = setting;
    console.log(`${dir}, ${threads} threads, ${rounds} rounds, load at the end ${about.load.toFixed(2)}`);
    console.log(
      `${bookTokens} tokens of a book, ${questions} questions of ${questionTokens} tokens, answers of ${answerTokens}`,
    );
    console.log(`one job: the book, then the questions        ${seconds(job)}`);
    console.log(`two jobs: the book; the questions            ${seconds(apart)}`);
    console.log(`bare engine: the book once, the questions    ${seconds(bare)}`);
    console.log(`one job over two   ${ratio.median.toFixed(3)}, allowed ${most}: ${held ? 'held' : 'MISSED'}`);
    console.log(`one job over bare  ${ofBare.median.toFixed(3)}`);
  }
  if (!held) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
