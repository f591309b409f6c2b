import { runProgram } from '../checks/program.ts';

export const engineNames = ['podman', 'buildah', 'docker'] as const;
export type EngineName = (typeof engineNames)[number];

export function isEngineName(name: string): name is EngineName {
  return (engineNames as readonly string[]).includes(name);
}

/** What shows that an engine can build here: a client alone cannot. */
const proofs: Readonly<Record<EngineName, readonly string[]>> = {
  podman: ['info', '--format', '{{.Host.OCIRuntime.Name}}'],
  buildah: ['info', '--format', '{{.host.kernel}}'],
  docker: ['buildx', 'ls'],
};

/** Asks docker's daemon, which the proof above does not. */
const daemonProof = ['info', '--format', '{{.ServerVersion}}'];

export interface FoundEngine {
  readonly engine: EngineName | null;
  /** Of each engine that was tried and does not serve, why. */
  readonly tried: Readonly<Partial<Record<EngineName, string>>>;
}

/** The first of the engines that works here. */
export async function findEngine(names: readonly EngineName[] = engineNames): Promise<FoundEngine> {
  const tried: Partial<Record<EngineName, string>> = {};
  for (const name of names) {
    const failed = (await fault(name, proofs[name])) ?? (name === 'docker' ? await fault(name, daemonProof) : null);
    if (failed === null) return { engine: name, tried };
    tried[name] = failed;
  }
  return { engine: null, tried };
}

export interface BuildOrder {
  readonly file: string;
  readonly tag: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Seconds since 1970 that all files and the image itself are dated with. */
  readonly epoch: number;
  /** More options of the engine's build command, as they are. */
  readonly options: readonly string[];
}

/** The command line that builds one image from the context `.`, the same bytes whenever it runs. */
export function buildCommand(engine: EngineName, order: BuildOrder): readonly string[] {
  const { file, tag, buildArgs, epoch, options } = order;
  const args = Object.entries(buildArgs).sort(([a], [b]) => (a < b ? -1 : 1));
  const given = args.flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  const shared = ['--file', file, '--tag', tag, ...given, ...options, '.'];
  if (engine === 'docker') {
    const output = ['--output', 'type=docker,rewrite-timestamp=true', '--build-arg', `SOURCE_DATE_EPOCH=${epoch}`];
    return ['buildx', 'build', ...output, '--provenance=false', ...shared];
  }
  // The OCI format has no health check; and buildah makes one layer of everything unless it is told.
  return ['build', '--format', 'docker', '--layers', '--timestamp', String(epoch), ...shared];
}

/** The command line that prints the bytes of an image. */
export function sizeCommand(engine: EngineName, tag: string): readonly string[] {
  if (engine === 'buildah') return ['images', '--json', tag];
  return ['image', 'inspect', '--format', '{{.Size}}', tag];
}

/** What `sizeCommand` printed as bytes, null where that is no number. */
export function parseSize(engine: EngineName, printed: string): number | null {
  if (engine !== 'buildah') return /^\d+$/.test(printed.trim()) ? Number(printed) : null;
  // buildah prints `312 MB`.
  const [, amount, unit = ''] = /"size":\s*"([\d.]+) ([kMG]?)B"/.exec(printed) ?? [];
  const factor = { '': 1, k: 1e3, M: 1e6, G: 1e9 }[unit];
  return amount === undefined || factor === undefined ? null : Number(amount) * factor;
}

async function fault(name: EngineName, args: readonly string[]): Promise<string | null> {
  const { code, stderr } = await runProgram(name, args, { timeoutMs: 20_000 });
  if (code === 0) return null;
  if (code === 127) return 'not found';
  return stderr.trim().split('\n')[0] || `${name} ${args.join(' ')} exited with ${code}`;
}
