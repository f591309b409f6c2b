import { parseEnvironment } from '@longhaul/core/contracts';
import type { StoreOptions } from '@longhaul/core/ledger';
import { modelSettings, type TransferOptions, transferOptions } from '@longhaul/core/models';
import { z } from 'zod';
import { parseConfig } from '../config.ts';
import type { CommandContext } from '../context.ts';

const ModelEnvironment = z.object(modelSettings);

/** What models are moved with, as the environment says. */
export function modelPlace({ env }: CommandContext): {
  readonly store: StoreOptions;
  readonly transfer: TransferOptions;
} {
  return { store: parseConfig(env).s3, transfer: transferOptions(parseEnvironment(ModelEnvironment, env), env) };
}
