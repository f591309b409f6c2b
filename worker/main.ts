import { describeError, errorCode, LonghaulError } from '@longhaul/core/contracts';
import { Command, CommanderError } from 'commander';
import { fingerprint } from './commands/fingerprint.ts';
import { addJobOptions } from './commands/job-options.ts';
import { probe } from './commands/probe.ts';
import { run } from './commands/run.ts';
import { serve } from './commands/serve.ts';
import { tokens } from './commands/tokens.ts';
import { parseConfig, parseS3Settings } from './config.ts';
import type { ProcessIo } from './process.ts';

const io: ProcessIo = {
  env: process.env,
  pid: process.pid,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  onStop(listener) {
    const signals = ['SIGINT', 'SIGTERM'] as const;
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
  endWithin(ms) {
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), ms).unref();
  },
  exitWithin(ms) {
    setTimeout(() => process.exit(), ms).unref();
  },
};

const defaultModel = 'tiny-english';
const modelDir = io.env['LONGHAUL_MODEL'] ?? defaultModel;
const example = (text: string) => `\nExample:\n  ${text}\n`;

async function main(argv: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command('longhaul-worker').description('The GPU side of longhaul').exitOverride();

  program
    .command('serve')
    .description("serve a model's queue; settings come from the environment (LONGHAUL_*)")
    .addHelpText(
      'after',
      example('LONGHAUL_REDIS_URL=redis://127.0.0.1:6379 LONGHAUL_STORE=file:///srv/longhaul longhaul worker'),
    )
    .action(async () => {
      code = await serve(parseConfig({ LONGHAUL_MODEL: defaultModel, ...io.env }, io.pid), io);
    });

  addJobOptions(program.command('run [file]'))
    .description('read one document straight through the engine, without a queue')
    .option('--text <text>', 'the document itself, in place of FILE')
    .option(
      '--model <dir or name>',
      'model directory, a name below models/, s3://bucket/prefix or hf://org/repo',
      modelDir,
    )
    .option('--device <device>', 'cpu, auto or cuda:N', 'auto')
    .option('--weights <format>', 'as-stored, or quantized at load: int8, nf4, fp8', 'as-stored')
    .option('--activations <kind>', 'f32: exact; matched: rounded to what the weights are worth, faster', 'matched')
    .option('--threads <n>', 'CPU threads (default: all cores)')
    .option('--chunk-tokens <n>', 'tokens a chunk, a power of two', '2048')
    .option('--commit-tokens <n>', 'tokens between commits')
    .option('--forks <n>', 'questions answered at once', '8')
    .option('--data <dir>', 'keep the ledger here, so that an interrupted run can be gone on with')
    .option('--json', 'print the result record')
    .addHelpText('after', example("longhaul run book.txt --prompt 'In short,' --max-new-tokens 64"))
    .action(async (file: string | undefined, options: Record<string, unknown>) => {
      code = await run(file, options, parseS3Settings(io.env), io);
    });

  program
    .command('tokens [file]')
    .description('stream a document through the tokenizer and count its tokens')
    .option('--text <text>', 'the document itself, in place of FILE')
    .option('--tokenizer <dir or name>', 'directory of tokenizer.json, or a name below models/', modelDir)
    .option('--ids', 'list the token ids as one JSON array')
    .option(
      '--also <text>',
      'count this text too, on its own, as a prompt is read; may be given several times',
      (text: string, texts: string[] = []) => [...texts, text],
    )
    .option('--compression <kind>', 'auto, none, gzip or zstd', 'auto')
    .option('--invalid-utf8 <action>', 'error or replace', 'error')
    .option('--json', 'print the count as JSON')
    .addHelpText('after', example('longhaul tokens book.txt.zst --json'))
    .action(async (file: string | undefined, options: Record<string, unknown>) => {
      code = await tokens(file, options, parseS3Settings(io.env), io);
    });

  program
    .command('probe')
    .description('what the engine finds on this machine')
    .option('--model <dir or name>', 'also load this model')
    .option('--json', 'print as JSON')
    .addHelpText('after', example('longhaul-worker probe --model models/tiny-english --json'))
    .action(async (options: { model?: string; json?: boolean }) => {
      code = await probe(options, io);
    });

  program
    .command('fingerprint')
    .description('what a state must match to be of a model: digests and sizes; the weights are hashed and not loaded')
    .option('--model <dir or name>', 'the model', modelDir)
    .option('--digests <file>', 'JSON of the sha256 of weight files by name: these are not read, and need not be there')
    .option('--json', 'print as JSON')
    .addHelpText('after', example('longhaul-worker fingerprint --model models/tiny-english --json'))
    .action(async (options: { model: string; digests?: string; json?: boolean }) => {
      code = await fingerprint(options, io);
    });

  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    report(error, argv.includes('--json'));
    return error instanceof LonghaulError && error.code === 'invalid_argument' ? 2 : 1;
  }
  return code;
}

function report(error: unknown, json: boolean): void {
  const code = errorCode(error);
  const message = describeError(error);
  if (json) io.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else io.stderr.write(`longhaul: ${code}: ${message}\n`);
}

// A reader that has seen enough (`… | head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const code = await main(process.argv.slice(2));
// Everything of ours is closed by now; a library's idle handle must not keep the process.
process.exitCode = code;
process.stdin.destroy();
