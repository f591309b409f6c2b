import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { S3Environment } from '@longhaul/core/ledger';
import { z } from 'zod';
import { ControllerEnvironment } from '../../infra/controller/config.ts';
import { ApiEnvironment } from '../../producer/api/settings.ts';
import { ProducerEnvironment } from '../../producer/config.ts';
import { WorkerEnvironment } from '../../worker/config.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** One environment variable of a process. */
export interface Setting {
  readonly name: string;
  /** As typed; null where it has none, and where the setting must be given. */
  readonly default: string | null;
  readonly required: boolean;
  /** What may be typed, in short; '' where any text may. */
  readonly allowed: string;
  readonly description: string;
}

export interface Process {
  readonly title: string;
  readonly settings: readonly Setting[];
}

/** A process, the schema of its environment, and the files whose doc comments say what each setting does. */
const processes = [
  {
    title: 'Worker',
    schema: WorkerEnvironment,
    files: [
      'worker/config.ts',
      'core/models/settings.ts',
      'worker/preemption/settings.ts',
      'core/ledger/s3-settings.ts',
    ],
  },
  {
    title: 'Controller',
    schema: ControllerEnvironment,
    files: ['infra/controller/config.ts', 'infra/controller/scaling/settings.ts', 'core/ledger/s3-settings.ts'],
  },
  { title: 'API', schema: ApiEnvironment, files: ['producer/api/settings.ts'] },
  {
    title: 'Every command of the producer, the API among them',
    schema: ProducerEnvironment,
    files: ['producer/config.ts'],
  },
] as const;

const shared = new Set(Object.keys(S3Environment.shape));

/**
 * The settings of every process, in the order of their schemas; those of S3 stand at the first process alone.
 *
 * @throws Error naming a setting whose declaration has no doc comment
 */
export async function readSettings(): Promise<readonly Process[]> {
  const found: Process[] = [];
  for (const [i, { title, schema, files }] of processes.entries()) {
    const texts = await Promise.all(files.map((file) => readFile(path.join(root, file), 'utf8')));
    const said = commentsOf(texts.join('\n'));
    const names = Object.keys(schema.shape).filter((name) => i === 0 || !shared.has(name));
    found.push({ title, settings: names.map((name) => settingOf(name, schema, said, files)) });
  }
  return found;
}

function settingOf(
  name: string,
  schema: z.ZodObject,
  said: ReadonlyMap<string, string>,
  files: readonly string[],
): Setting {
  const description = said.get(name);
  if (description === undefined) throw new Error(`${name} has no doc comment in ${files.join(', ')}`);
  const field = schema.shape[name] as z.ZodType;
  const input = z.toJSONSchema(field, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const output = z.toJSONSchema(field, { io: 'output', unrepresentable: 'any' }) as JsonSchema;
  const unset = field.safeParse(undefined);
  return {
    name,
    default: unset.success ? typed(unset.data) : null,
    required: !unset.success,
    allowed: allowedOf(input, output),
    description,
  };
}

interface JsonSchema {
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly type?: string;
  readonly [key: string]: unknown;
}

/** What a person would type for a parsed value. */
function typed(value: unknown): string | null {
  if (value === undefined || value === '') return null;
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (Array.isArray(value)) return value.length === 0 ? null : value.join(' ');
  return String(value);
}

function allowedOf(input: JsonSchema, output: JsonSchema): string {
  if (input.enum !== undefined) return input.enum.map((one) => `\`${one}\``).join(', ');
  const { type, minimum, exclusiveMinimum, maximum } = output;
  if (type !== 'integer' && type !== 'number') return '';
  const low = exclusiveMinimum === undefined ? `${minimum}` : `above ${exclusiveMinimum}`;
  return `${low} to ${maximum}`;
}

/** The doc comment above each setting's declaration, on one line. */
function commentsOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, comment, name] of text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\n\s*([A-Z][A-Z0-9_]+):/g)) {
    const line = comment!
      .split('\n')
      .map((part) => part.replace(/^\s*\*? ?/, '').trim())
      .join(' ')
      .trim();
    found.set(name!, line);
  }
  return found;
}
