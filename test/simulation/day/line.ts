import type { Job } from './job.ts';

/**
 * The queue: what came back stands in front, as in BullMQ's `wait`; the rest in a line that is fair between tenants by
 * clocks, as core/queue/fair-line.ts keeps it.
 */
export class Line {
  private readonly front: Job[] = [];
  private readonly tenants = new Map<string, { clock: number; readonly jobs: Job[] }>();
  private floor = 0;
  private joined = 0;

  get returned(): number {
    return this.front.length;
  }

  get fresh(): number {
    return this.joined;
  }

  join(job: Job): void {
    job.place = 'line';
    this.joined += 1;
    const tenant = this.tenants.get(job.arrival.tenant) ?? { clock: 0, jobs: [] };
    if (tenant.jobs.length === 0) tenant.clock = Math.max(tenant.clock, this.floor);
    tenant.jobs.push(job);
    this.tenants.set(job.arrival.tenant, tenant);
  }

  comeBack(job: Job): void {
    job.place = 'front';
    this.front.push(job);
  }

  next(): Job | null {
    const first = this.front.shift();
    if (first !== undefined) return first;
    let least: { clock: number; readonly jobs: Job[] } | null = null;
    for (const tenant of this.tenants.values()) {
      if (tenant.jobs.length > 0 && (least === null || tenant.clock < least.clock)) least = tenant;
    }
    const job = least?.jobs.shift();
    if (least === null || job === undefined) return null;
    this.joined -= 1;
    this.floor = least.clock;
    least.clock += job.work;
    return job;
  }

  *waiting(): Generator<Job, void> {
    yield* this.front;
    for (const { jobs } of this.tenants.values()) yield* jobs;
  }
}
