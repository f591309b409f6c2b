import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace';

/** Random ids, unless the next one was chosen: several processes tell one span only if they all know its id. */
export class ChosenIds implements IdGenerator {
  private readonly random = new RandomIdGenerator();
  private spanId: string | null = null;
  private traceId: string | null = null;

  nextSpanId(id: string): void {
    this.spanId = id;
  }

  nextTraceId(id: string): void {
    this.traceId = id;
  }

  readonly generateSpanId = (): string => {
    const id = this.spanId ?? this.random.generateSpanId();
    this.spanId = null;
    return id;
  };

  readonly generateTraceId = (): string => {
    const id = this.traceId ?? this.random.generateTraceId();
    this.traceId = null;
    return id;
  };
}
