import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { LonghaulError, workerNodeArgs } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { requireProgram } from '../programs.ts';

/** Commands that another program runs, with its own options and its own help. */
export const passedCommands = {
  run: {
    program: 'worker',
    args: ['run'],
    description: 'read one document straight through the engine, without a queue',
  },
  tokens: {
    program: 'worker',
    args: ['tokens'],
    description: 'stream a document through the tokenizer and count its tokens',
  },
  worker: {
    program: 'worker',
    args: ['serve'],
    description: 'serve a model’s queue; settings come from the environment',
  },
  controller: {
    program: 'controller',
    args: [],
    description: 'bring lost jobs back and end what is due; settings come from the environment',
  },
} as const;

export type PassedCommand = keyof typeof passedCommands;

export function isPassedCommand(name: string | undefined): name is PassedCommand {
  return name !== undefined && Object.hasOwn(passedCommands, name);
}

/** Only for the list that `longhaul --help` shows: their arguments never come here. */
export function addPassed(program: Command): void {
  for (const [name, { description }] of Object.entries(passedCommands)) program.command(name).description(description);
}

/** Runs the program as a child with our own streams; its exit code is ours. */
export async function passThrough(
  name: PassedCommand,
  args: readonly string[],
  context: CommandContext,
): Promise<number> {
  const { program, args: first } = passedCommands[name];
  const file = requireProgram(program, name);
  const child = spawn(context.execPath, [...workerNodeArgs, file, ...first, ...args], {
    stdio: 'inherit',
    cwd: context.cwd,
    env: { ...context.env },
  });
  const forward = () => {
    // At a terminal Ctrl-C has reached the child already; a signal sent to us alone has not.
    if (context.signal.reason === 'SIGINT' && context.stdin.isTTY === true) return;
    child.kill(context.signal.reason === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
  };
  if (context.signal.aborted) forward();
  context.signal.addEventListener('abort', forward, { once: true });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new LonghaulError('internal', `${file} cannot be started`, { cause })));
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
