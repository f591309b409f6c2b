import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LonghaulError, limits } from '@longhaul/core/contracts';
import { type DecodedCheckpoint, decodeCheckpoint } from '@longhaul/core/ledger';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { type Fingerprint, fingerprintOf } from '../../fingerprint.ts';
import { findModel } from '../../model-dir.ts';
import { count } from '../../render/format.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseStateName, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

interface ImportOptions {
  readonly data?: string;
  readonly json?: boolean;
  readonly name: string;
  readonly modelDir?: string;
}

export function addImport(states: Command, context: CommandContext): void {
  addCommon(states.command('import <file>'))
    .description(
      'read a state that `export` wrote, as the next version of a name; refused where it is not of the model',
    )
    .requiredOption('--name <name>', 'the name that it gets')
    .option('--model-dir <dir or name>', 'the model that it must be of (default: LONGHAUL_MODEL, else tiny-english)')
    .addHelpText(
      'after',
      example(
        'longhaul states import book.safetensors --name book',
        'longhaul states import book.safetensors --name book --model-dir /models/falcon-mamba-7b --json',
      ),
    )
    .action(async (file: string, options: ImportOptions) => {
      const name = parseStateName(options.name);
      const path = resolve(context.cwd, file);
      const read = await decodeCheckpoint(path, await fileAt(path), null);
      checkBetweenDocuments(path, read);
      await withSession(context, options.data, async ({ states: owned, config }) => {
        const model = await findModel(options.modelDir ?? config.model, context.cwd);
        checkFingerprint(path, read, model.dir, await fingerprintOf(model.dir, 'states import', context));
        const state = await owned.publish({
          tenant,
          name,
          state: read.state,
          model: model.name,
          engine: read.engine,
          chunkTokens: read.chunkTokens,
          inputBytes: read.inputByteOffset,
          origin: { how: 'import', parent: null, job: null, document: null },
        });
        if (options.json === true) return writeJson(context.stdout, { state });
        const { tokenOffset } = state.checkpoint;
        return write(context.stdout, `${point(state)} is ${path}: ${count(tokenOffset)} tokens of ${model.name}\n`);
      });
      context.finish(exitCodes.ok);
    });
}

async function fileAt(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > limits.checkpointBytes) {
      throw new LonghaulError(
        'object_too_large',
        `${path} has ${size} bytes; a state has at most ${limits.checkpointBytes}`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof LonghaulError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new LonghaulError('source_not_found', `no file ${path}`);
    throw new LonghaulError('source_unreadable', `${path} cannot be read`, { cause });
  }
}

/** A checkpoint from the midst of a document holds bytes that no token has yet: a state must not lose them. */
function checkBetweenDocuments(path: string, { textCursor }: DecodedCheckpoint): void {
  if (textCursor === null) return;
  throw new LonghaulError(
    'state_mismatch',
    `${path} stands inside of a document (a text cursor of ${textCursor.length} characters): only its own job can go on from it`,
  );
}

function checkFingerprint(path: string, { state }: DecodedCheckpoint, dir: string, expected: Fingerprint): void {
  const refuse = (
    code: 'model_mismatch' | 'tokenizer_mismatch' | 'state_mismatch',
    what: string,
    found: string,
    own: string,
  ) => new LonghaulError(code, `${path} is a state of ${what} ${found}; ${dir} is ${own}`);
  if (state.modelDigest !== expected.digest) {
    throw refuse('model_mismatch', 'model', state.modelDigest, expected.digest);
  }
  if (state.tokenizerDigest !== expected.tokenizerDigest) {
    throw refuse('tokenizer_mismatch', 'tokenizer', state.tokenizerDigest, expected.tokenizerDigest);
  }
  const [found, own] = [shapeText(state.shape), shapeText(expected.shape)];
  if (found !== own) throw refuse('state_mismatch', 'shape', found, own);
}

function shapeText({ nLayer, dInner, dConv, dState }: Fingerprint['shape']): string {
  return `n_layer ${nLayer}, d_inner ${dInner}, d_conv ${dConv}, d_state ${dState}`;
}
