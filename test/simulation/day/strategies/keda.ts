import type { Assumptions } from '../parameters.ts';
import type { SimulatedWorker } from '../worker.ts';
import type { Strategy, World } from '../world.ts';

/** A pod that no node has room for: the node autoscaler tries spot, and on demand where there is none. */
const startPod = (world: World): SimulatedWorker | null => world.start('spot') ?? world.start('on-demand');

/**
 * KEDA's ScaledJob with a trigger for each of the queue's keys, their sum taken, strategy `accurate`: every job that waits
 * asks for its part of a pod, less the pods that are pending; one of a lost worker is in no list until a reaper finds it. A pod that runs and loads its weights is no longer pending,
 * so what it is to take is asked for once more.
 */
export function kedaJobs(a: Assumptions): Strategy {
  return {
    name: 'KEDA ScaledJob, every key',
    reaper: true,
    idleExitSeconds: a.idleExitSeconds,
    begin: (world) =>
      world.every(a.kedaPollSeconds, () => {
        const { fresh, returned } = world.census();
        const { living } = world;
        const wanted = Math.min(Math.ceil((fresh + returned) / a.slots), a.maxWorkers);
        const pending = living.filter(({ state }) => state === 'starting').length;
        const count =
          wanted + living.length > a.maxWorkers ? a.maxWorkers - living.length : Math.max(0, wanted - pending);
        for (let i = 0; i < count; i++) startPod(world);
      }),
    end: () => undefined,
  };
}

/**
 * KEDA's ScaledObject on the length of the list that waits, as most queues are scaled: jobs in hand and jobs of lost
 * workers are in no list, so pods are taken away from under their work, the youngest first.
 */
export function kedaList(a: Assumptions, onScaleIn: 'drain' | 'kill'): Strategy {
  return {
    name: `KEDA on LLEN wait, scale-in ${onScaleIn === 'drain' ? 'drains' : 'kills'}`,
    reaper: false,
    idleExitSeconds: null,
    begin: (world) => {
      let replicas = 0;
      let activeAt = Number.NEGATIVE_INFINITY;
      const recommended: { readonly at: number; readonly count: number }[] = [];
      const length = () => world.line.fresh + world.line.returned;
      const reconcile = () => {
        const { living } = world;
        for (let i = living.length; i < replicas; i++) if (startPod(world) === null) break;
        if (living.length <= replicas) return;
        const order = (worker: SimulatedWorker) => (worker.state === 'serving' ? 0 : 1);
        const first = living.sort((x, y) => order(y) - order(x) || y.startedAt - x.startedAt);
        for (const worker of first.slice(0, living.length - replicas)) {
          if (onScaleIn === 'drain') world.drain(worker);
          else world.kill(worker);
        }
      };
      world.every(a.kedaPollSeconds, () => {
        if (length() > 0) {
          activeAt = world.now;
          replicas = Math.max(1, replicas);
        } else if (world.now - activeAt >= a.kedaCooldownSeconds) replicas = 0;
        reconcile();
      });
      world.every(a.hpaSyncSeconds, () => {
        if (replicas === 0) return;
        const { now } = world;
        recommended.push({ at: now, count: Math.min(a.maxWorkers, Math.max(1, Math.ceil(length() / a.slots))) });
        while (recommended[0]!.at <= now - a.hpaStabilizationSeconds) recommended.shift();
        const stable = Math.max(...recommended.map(({ count }) => count));
        const fastest = Math.max(2 * replicas, replicas + 4);
        const current = recommended.at(-1)!.count;
        replicas = current > replicas ? Math.min(current, fastest) : Math.min(replicas, stable);
        reconcile();
      });
    },
    end: (world) => {
      for (const worker of world.living) world.drain(worker);
    },
  };
}
