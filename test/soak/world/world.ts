import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FaultRule } from '../../support/s3-server/index.ts';
import type { Write } from '../history.ts';
import type { Order, ProxyOrder, Report, StoreCoordinates } from './protocol.ts';

export interface Bite {
  readonly method: string;
  readonly key: string;
}

/** The store and the network, in a process of their own. */
export class World {
  readonly store: StoreCoordinates;
  private readonly child: ChildProcess;
  private readonly asked = new Map<number, (report: Extract<Report, { kind: 'done' }>) => void>();
  private readonly rules = new Map<number, (bite: Bite) => void>();
  private orders = 0;

  private constructor(child: ChildProcess, store: StoreCoordinates, onWrite: (write: Write) => void) {
    this.child = child;
    this.store = store;
    child.on('message', (report: Report) => {
      if (report.kind === 'write') onWrite(report.write);
      if (report.kind === 'bite') this.rules.get(report.tag)?.(report);
      if (report.kind === 'done') this.asked.get(report.id)?.(report);
    });
  }

  static async start(onWrite: (write: Write) => void): Promise<World> {
    const child = fork(fileURLToPath(new URL('main.ts', import.meta.url)), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const [report] = (await once(child, 'message')) as [Report];
    if (report.kind !== 'ready') throw new Error(`the store said ${report.kind} before it was ready`);
    return new World(child, report.store, onWrite);
  }

  /** Calls `onBite` when a request meets the rule, which is once. */
  async rule(rule: FaultRule, onBite: (bite: Bite) => void): Promise<void> {
    const tag = ++this.orders;
    this.rules.set(tag, (bite) => {
      this.rules.delete(tag);
      onBite(bite);
    });
    await this.order({ op: 'rule', rule: { ...rule, match: { ...rule.match, times: 1 } }, tag });
  }

  async control(op: 'clear' | 'release' | 'down' | 'up'): Promise<void> {
    await this.order({ op });
  }

  async forget(prefix: string): Promise<void> {
    await this.order({ op: 'forget', prefix });
  }

  async openProxy(port: number): Promise<number> {
    return await this.order({ op: 'open-proxy', port });
  }

  /** The number of pieces and connections that this proxy has disturbed so far. */
  async proxy(port: number, order: ProxyOrder): Promise<number> {
    return await this.order({ op: 'proxy', port, order });
  }

  async close(): Promise<void> {
    const gone = once(this.child, 'exit');
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    if (this.child.connected) this.child.disconnect();
    await gone;
  }

  private async order(order: Order): Promise<number> {
    const id = ++this.orders;
    const { promise, resolve } = Promise.withResolvers<Extract<Report, { kind: 'done' }>>();
    this.asked.set(id, resolve);
    this.child.send({ id, order });
    const { value, error } = await promise;
    this.asked.delete(id);
    if (error !== null) throw new Error(error);
    return value;
  }
}
