import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { type Clock, type Environment, LonghaulError, workerNodeArgs } from '@longhaul/core/contracts';
import type { WorkerLauncher } from './port.ts';
import { ofModel, type ScalingSettings } from './settings.ts';

export interface LauncherIo {
  readonly env: Environment;
  readonly execPath: string;
  /** The worker's program; null where its package is not installed. */
  readonly workerProgram: string | null;
}

/** Idle seconds of a worker of this machine, where its environment names none. */
const idleExitSeconds = '180';

/** Not a worker's: they name one process each, or would tie the worker to the controller that started it. */
const ownSettings = ['LONGHAUL_PARENT_PIPE', 'LONGHAUL_CONTROLLER_ID', 'LONGHAUL_METRICS_ADDRESS', 'OTEL_SERVICE_NAME'];

/**
 * The platform of the settings; null for `none`. Its client is loaded here and nowhere else.
 *
 * @throws LonghaulError `invalid_config` naming the setting that the platform needs
 */
export async function openLauncher(
  settings: ScalingSettings,
  io: LauncherIo,
  clock: Clock,
): Promise<WorkerLauncher | null> {
  switch (settings.LONGHAUL_SCALE_PLATFORM) {
    case 'none':
      return null;
    case 'process': {
      const { ProcessLauncher } = await import('./launchers/process.ts');
      const program =
        io.workerProgram ??
        missing('LONGHAUL_SCALE_PLATFORM', 'process needs @longhaul/worker installed beside the controller');
      return new ProcessLauncher({
        dir: settings.LONGHAUL_SCALE_PROCESS_DIR ?? join(homedir(), '.longhaul', 'workers'),
        command: [io.execPath, ...workerNodeArgs, program, 'serve'],
        envOf: (model) => workerEnv(model, settings, io.env),
        clock,
      });
    }
    case 'ecs': {
      const { EcsLauncher } = await import('./launchers/ecs.ts');
      const spot =
        settings.LONGHAUL_ECS_SPOT_PROVIDER ?? missing('LONGHAUL_ECS_SPOT_PROVIDER', 'ecs needs it; it is not set');
      const providers = { spot, 'on-demand': settings.LONGHAUL_ECS_ONDEMAND_PROVIDER ?? spot };
      named('LONGHAUL_ECS_TASK_DEFINITION', settings.LONGHAUL_ECS_TASK_DEFINITION);
      return new EcsLauncher({
        cluster: settings.LONGHAUL_ECS_CLUSTER ?? missing('LONGHAUL_ECS_CLUSTER', 'ecs needs it; it is not set'),
        definitionOf: (model) => ofModel(settings.LONGHAUL_ECS_TASK_DEFINITION, model),
        providerOf: (market) => providers[market],
        subnets: settings.LONGHAUL_ECS_SUBNETS,
        securityGroups: settings.LONGHAUL_ECS_SECURITY_GROUPS,
        endpoint: settings.LONGHAUL_ECS_ENDPOINT ?? null,
        clock,
      });
    }
    case 'kubernetes': {
      const { KubeConfig } = await import('@kubernetes/client-node');
      const { KubernetesLauncher } = await import('./launchers/kubernetes.ts');
      named('LONGHAUL_KUBERNETES_JOB_TEMPLATE', settings.LONGHAUL_KUBERNETES_JOB_TEMPLATE);
      const config = new KubeConfig();
      config.loadFromDefault();
      const namespace = settings.LONGHAUL_KUBERNETES_NAMESPACE;
      return new KubernetesLauncher({
        config,
        namespace: namespace ?? missing('LONGHAUL_KUBERNETES_NAMESPACE', 'kubernetes needs it; it is not set'),
        templateOf: (model, market) =>
          (market === 'spot' ? undefined : ofModel(settings.LONGHAUL_KUBERNETES_ONDEMAND_JOB_TEMPLATE, model)) ??
          ofModel(settings.LONGHAUL_KUBERNETES_JOB_TEMPLATE, model),
        clock,
      });
    }
  }
}

/** A worker of the model, with all else as the controller has it. */
export function workerEnv(model: string, settings: ScalingSettings, env: Environment): Environment {
  const { LONGHAUL_MODEL: dir, LONGHAUL_MODEL_NAME: name } = env;
  const serves = dir !== undefined && (name ?? basename(dir)) === model;
  return {
    ...Object.fromEntries(Object.entries(env).filter(([key]) => !ownSettings.includes(key))),
    LONGHAUL_MODEL: serves ? dir : model,
    LONGHAUL_MODEL_NAME: model,
    LONGHAUL_SLOTS: String(settings.LONGHAUL_SCALE_SLOTS),
    LONGHAUL_IDLE_EXIT_SECONDS: env['LONGHAUL_IDLE_EXIT_SECONDS'] ?? idleExitSeconds,
  };
}

function named(name: string, parts: readonly string[]): void {
  if (parts.length === 0) missing(name, 'it is needed, and not set');
}

function missing(name: string, what: string): never {
  throw new LonghaulError('invalid_config', `${name}: ${what}`);
}
