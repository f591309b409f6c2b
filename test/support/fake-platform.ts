import type {
  EndedWorker,
  ListedWorker,
  StartOutcome,
  StartRequest,
  WorkerFailure,
  WorkerLauncher,
} from '../../infra/controller/scaling/port.ts';

/** A platform in memory: places for so many workers on each market, and faults as a test sets them. */
export class FakePlatform implements WorkerLauncher {
  readonly platform = 'process';
  readonly workers = new Map<string, ListedWorker>();
  readonly gone = new Map<string, EndedWorker>();
  readonly asked: StartRequest[] = [];
  places = { spot: 100, 'on-demand': 100 };
  /** The next answers are lost behind the work, or the work is not done at all. */
  loseAnswers = 0;
  refuseConnections = 0;
  /** Whether the list shows what was started. */
  lists = true;
  private readonly answers = new Map<string, StartOutcome>();
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  async list(model: string) {
    return this.lists ? [...this.workers.values()].filter((worker) => worker.model === model) : [];
  }

  async ended(workers: readonly { readonly id: string }[]) {
    return workers.flatMap(({ id }) => this.gone.get(id) ?? []);
  }

  async start(request: StartRequest): Promise<StartOutcome> {
    this.asked.push(request);
    if (this.refuseConnections-- > 0) throw new Error('connection refused');
    const answer = this.answers.get(request.token) ?? this.startNew(request);
    this.answers.set(request.token, answer);
    if (this.loseAnswers-- > 0) throw new Error('the connection broke');
    return answer;
  }

  /** All of them, or one, as the platform shows them from now on. */
  run(id?: string): void {
    for (const [known, worker] of this.workers)
      if (id === undefined || known === id) this.workers.set(known, { ...worker, state: 'running' });
  }

  end(id: string, failure: WorkerFailure | null = null): void {
    this.workers.delete(id);
    this.gone.set(id, { id, endedAt: this.now(), failure });
  }

  private startNew({ model, market, count, token }: StartRequest): StartOutcome {
    const fits = Math.min(count, this.places[market]);
    this.places[market] -= fits;
    const started = Array.from({ length: fits }, (_, i): ListedWorker => {
      const id = `${token}-${i}`;
      const worker = { id, model, market, state: 'starting' as const, startedAt: this.now(), why: null };
      this.workers.set(id, worker);
      return worker;
    });
    return { started, refused: fits < count ? `no ${market} capacity in any zone` : null };
  }
}
