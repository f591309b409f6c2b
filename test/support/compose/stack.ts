import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findRedisServer } from '@longhaul/core/redis';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import {
  type Compose,
  interpolate,
  isMap,
  needsOf,
  readCompose,
  type Service,
  strings,
} from '../../../scripts/compose/read.ts';
import type { ImageName } from '../../../scripts/images/images.ts';
import { waitFor } from '../cluster.ts';
import { type AssembledImage, assembleImage } from '../images/assemble.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../otlp-receiver.ts';
import { startTestPrometheus, type TestPrometheus, withoutPrometheus } from '../prometheus.ts';
import { type S3Server, startS3Server } from '../s3-server/index.ts';
import { Place, placePorts } from './place.ts';
import { StackProcess } from './processes.ts';

const root = path.resolve(import.meta.dirname, '../../..');

interface Running {
  readonly process: StackProcess | null;
  readonly place: Place;
}

/**
 * The services of a compose file as processes of this machine, in the order that they wait for each other. Those of our own images
 * run on the files of their images, with the command and the environment of image and compose file alone. Others are run by
 * what is here: redis-server, the S3 server and the receiver of spans of these tests, Prometheus where there is one.
 */
export class Stack {
  /** Services that nothing here can run, and why. */
  readonly skipped: Record<string, string> = {};
  receiver: OtlpReceiver | null = null;
  prometheus: TestPrometheus | null = null;
  private store: S3Server | null = null;
  private readonly running = new Map<string, Running>();
  private readonly images = new Map<string, Promise<AssembledImage>>();
  private readonly compose: Compose;
  private readonly dir: string;
  private readonly ports: Awaited<ReturnType<typeof placePorts>>;

  private constructor(compose: Compose, dir: string, ports: Awaited<ReturnType<typeof placePorts>>) {
    this.compose = compose;
    this.dir = dir;
    this.ports = ports;
  }

  static async start(files: readonly string[]): Promise<Stack> {
    const compose = await readCompose(files.map((file) => path.join(root, 'infra', 'compose', file)));
    const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-stack-'));
    const stack = new Stack(compose, dir, await placePorts(compose));
    try {
      const named = Object.entries(compose.services).filter(([, service]) => service['profiles'] === undefined);
      const levels = waves(new Map(named));
      for (const level of levels) await Promise.all(level.map((name) => stack.up(name)));
      return stack;
    } catch (error) {
      await stack.close();
      throw error;
    }
  }

  /** `http://127.0.0.1:…` of a port that a service listens on in its container. */
  url(service: string, port: number): string {
    return `http://127.0.0.1:${this.ports.get(`${service}:${port}`)}`;
  }

  process(name: string): StackProcess {
    const found = this.running.get(name)?.process ?? null;
    if (found === null) throw new Error(`${name} is no process`);
    return found;
  }

  /** Milliseconds that a service is given to stop. */
  grace(name: string): number {
    const text = String(this.service(name)['stop_grace_period'] ?? '10s');
    return 1000 * Number.parseInt(text, 10);
  }

  /** `docker compose run --rm -T SERVICE ARGS < input`. */
  async run(name: string, args: readonly string[], input: string | Uint8Array = ''): Promise<StackProcess> {
    const process = await this.launch(name, args);
    process.child.stdin!.end(input);
    await process.ended;
    return process;
  }

  /** Starts a service, waits for those it depends on to be as it wants them, and for its own health. */
  async up(name: string): Promise<void> {
    const service = this.service(name);
    const image = interpolate(String(service['image']), {});
    if (image.includes('/valkey:')) return this.startQueue(name);
    if (image.includes('/rustfs:')) return this.startStore(name);
    if (image.includes('opentelemetry-collector')) {
      this.receiver = await startOtlpReceiver(this.ports.get(`${name}:4318`));
      return;
    }
    if (image.includes('/prometheus:')) {
      if (withoutPrometheus === false) this.prometheus = await this.startPrometheus();
      else this.skipped[name] = withoutPrometheus;
      return;
    }
    if (ourImage(service) === null) {
      this.skipped[name] = `nothing on this machine stands for ${image}`;
      return;
    }
    const process = await this.launch(name, []);
    this.running.set(name, { process, place: await this.placeOf(name) });
    if (service['restart'] === 'no') {
      const code = await process.ended;
      if (code !== 0) throw new Error(`exit code ${code} of ${process.words}`);
      return;
    }
    await this.healthy(name);
  }

  async close(): Promise<void> {
    const processes = [...this.running.values()].map(({ process }) => process);
    for (const process of processes) process?.kill();
    await Promise.all(processes.map((process) => process?.ended));
    await Promise.all([this.receiver?.close(), this.prometheus?.close(), this.store?.close()]);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  private service(name: string): Service {
    const found = this.compose.services[name];
    if (found === undefined) throw new Error(`there is no service ${name}`);
    return found;
  }

  /** A process of one of our images; `args` in place of the service's command where it has an entry point of its own. */
  private async launch(name: string, args: readonly string[]): Promise<StackProcess> {
    const service = this.service(name);
    const [place, image] = [await this.placeOf(name), await this.image(name)];
    const entrypoint = strings(service['entrypoint']);
    const command = args.length > 0 ? args : strings(service['command']);
    const words = [...entrypoint, ...(command.length > 0 || entrypoint.length > 0 ? command : image.cmd)];
    const afterInit = words[0]?.endsWith('/tini') ? words.slice(2) : words;
    const [program, ...rest] = afterInit.map((word) => place.localize(word));
    if (program !== '/usr/local/bin/node') throw new Error(`${name} runs ${program}, and not the image's Node`);
    const env = place.environment(image.env);
    // The two words that are not the container's: where it would write at home, and that it ends with this test.
    const own = { HOME: place.root, ...(args.length > 0 ? {} : { LONGHAUL_PARENT_PIPE: '1' }) };
    return new StackProcess(name, [process.execPath, ...rest], { cwd: image.workdir, env: { ...env, ...own } });
  }

  /** What the compose file asks of the container, asked of the process. */
  private async healthy(name: string): Promise<void> {
    const { healthcheck } = this.service(name);
    const test = isMap(healthcheck) ? strings(healthcheck['test']) : [];
    if (test[0] !== 'CMD') throw new Error(`${name} has no health check to run`);
    const [place, image] = [await this.placeOf(name), await this.image(name)];
    const [, ...words] = test.slice(1).map((word) => place.localize(word));
    await waitFor(
      async () => {
        const asking = new StackProcess(name, [process.execPath, ...words], {
          cwd: image.workdir,
          env: place.environment(image.env),
        });
        if ((await asking.ended) === 0) return true;
        if (!this.process(name).alive) throw new Error(`ended: ${this.process(name).words}`);
        return null;
      },
      120_000,
      () => `${name} to be ready; it said ${this.process(name).words}`,
    );
  }

  private async startQueue(name: string): Promise<void> {
    const [service, place] = [this.service(name), await this.placeOf(name)];
    const words = strings(service['command']).map((word) => place.localize(word));
    const at = words.indexOf('--port') + 1;
    const port = place.port(Number(words[at]));
    const args = words.with(at, String(port)).slice(1);
    const program = await findRedisServer(process.env);
    const queue = new StackProcess(name, [program, ...args, '--bind', '127.0.0.1'], {
      cwd: place.root,
      env: { PATH: '/usr/bin:/bin' },
      guarded: true,
    });
    this.running.set(name, { process: queue, place });
    await waitFor(
      async () => {
        if (!queue.alive) throw new Error(`ended: ${queue.words}`);
        return (await this.askQueue('health', ['PING'])) === 'PONG' ? true : null;
      },
      20_000,
      () => `the queue; it said ${queue.words}`,
    );
  }

  /** What the queue answers to a user without a real password, or to nobody (null): errors are their texts. */
  async askQueue(username: string | null, [command = '', ...args]: readonly string[]): Promise<string> {
    const redis = new Redis({
      ...{ host: '127.0.0.1', port: this.ports.get('queue:6379')!, lazyConnect: true },
      ...(username === null ? {} : { username, password: 'none' }),
      ...{ enableReadyCheck: false, maxRetriesPerRequest: 0, retryStrategy: null, disableClientInfo: true },
    });
    redis.on('error', () => {});
    try {
      return String(await redis.call(command, ...args));
    } catch (error) {
      return (error as Error).message;
    } finally {
      redis.disconnect();
    }
  }

  private async startStore(name: string): Promise<void> {
    const place = await this.placeOf(name);
    const env = place.environment({});
    const [accessKeyId, secretAccessKey] = await Promise.all(
      ['RUSTFS_ACCESS_KEY_FILE', 'RUSTFS_SECRET_KEY_FILE'].map((file) => readFile(env[file]!, 'utf8')),
    );
    this.store = await startS3Server({
      port: place.port(9000),
      dataDir: env['RUSTFS_VOLUMES']!,
      credentials: { accessKeyId: accessKeyId!.trim(), secretAccessKey: secretAccessKey!.trim() },
    });
  }

  /** Scrapes what the stack's own configuration scrapes, each name at the port that stands for it. */
  private async startPrometheus(): Promise<TestPrometheus> {
    const file = path.join(root, 'infra', 'telemetry', 'prometheus.yaml');
    const { scrape_configs: configs } = parse(await readFile(file, 'utf8')) as {
      scrape_configs: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const scrapes = configs.flatMap(({ job_name: job, dns_sd_configs: found }) => {
      const places = found.flatMap(({ names, port }) => names.map((name) => `${name}:${port}`));
      const targets = places
        .filter((place) => this.ports.has(place))
        .map((place) => `127.0.0.1:${this.ports.get(place)}`);
      return targets.length === 0 ? [] : [{ job, targets }];
    });
    return startTestPrometheus({ scrapes, ruleFiles: [path.join(root, 'infra', 'telemetry', 'alerts.yaml')] });
  }

  private readonly places = new Map<string, Promise<Place>>();

  private placeOf(name: string): Promise<Place> {
    const known = this.places.get(name) ?? this.makePlace(name);
    this.places.set(name, known);
    return known;
  }

  private async makePlace(name: string): Promise<Place> {
    const service = this.service(name);
    const app = ourImage(service) === null ? null : (await this.image(name)).workdir;
    const place = new Place(name, service, { root: path.join(this.dir, 'services', name), ports: this.ports, app });
    await mkdir(place.root, { recursive: true });
    await place.mount(path.join(this.dir, 'volumes'), this.compose.folder);
    return place;
  }

  private image(name: string): Promise<AssembledImage> {
    const image = ourImage(this.service(name));
    if (image === null) throw new Error(`${name} has no image of ours`);
    const known = this.images.get(image) ?? assembleImage(image, path.join(this.dir, 'images', image));
    this.images.set(image, known);
    return known;
  }
}

function ourImage({ image }: Service): ImageName | null {
  return (/^longhaul-(control|worker-cpu|worker):/.exec(String(image))?.[1] ?? null) as ImageName | null;
}

/** Services in waves: each depends on earlier ones alone. */
function waves(services: ReadonlyMap<string, Service>): string[][] {
  const left = new Map(services);
  const found: string[][] = [];
  while (left.size > 0) {
    const wave = [...left].filter(([, service]) => ![...needsOf(service).keys()].some((need) => left.has(need)));
    if (wave.length === 0) throw new Error(`${[...left.keys()].join(', ')} wait for each other`);
    for (const [name] of wave) left.delete(name);
    found.push(wave.map(([name]) => name));
  }
  return found;
}
