import { cp, mkdir, symlink } from 'node:fs/promises';
import path from 'node:path';
import { type Compose, environmentOf, interpolate, type Service, strings } from '../../../scripts/compose/read.ts';
import { freePorts } from '../free-ports.ts';

/** Ports by service and the port in its container. */
type Ports = ReadonlyMap<string, number>;

/** Every port that a service of the stack listens on, each with one of the loopback address. */
export async function placePorts(compose: Compose): Promise<Ports> {
  const wanted = new Set(['queue:6379', 'store:9000', 'api:8080', 'collector:4318']);
  for (const name of Object.keys(compose.services)) wanted.add(`${name}:9464`);
  const ports = await freePorts(wanted.size);
  return new Map([...wanted].map((place, index) => [place, ports[index]!]));
}

/**
 * What stands for a service's container: a folder for its mounts, and how its words are read outside a container. Host names
 * become the loopback address, ports and paths those of this machine.
 */
export class Place {
  readonly name: string;
  /** Stands for `/`. */
  readonly root: string;
  private readonly service: Service;
  private readonly ports: Ports;
  /** Stands for `/app`; null where the image is none of ours. */
  private readonly app: string | null;

  constructor(name: string, service: Service, parts: { root: string; ports: Ports; app: string | null }) {
    this.name = name;
    this.service = service;
    this.root = parts.root;
    this.ports = parts.ports;
    this.app = parts.app;
  }

  /** Puts the service's volumes and files where its words, once localized, look for them. */
  async mount(volumes: string, composeFolder: string): Promise<void> {
    for (const volume of strings(this.service['volumes'])) {
      const [from = '', target = ''] = volume.split(':');
      const local = this.path(target);
      await mkdir(path.dirname(local), { recursive: true });
      if (from.startsWith('.')) {
        await cp(path.resolve(composeFolder, from), local, { recursive: true });
      } else {
        await mkdir(path.join(volumes, from), { recursive: true });
        await symlink(path.join(volumes, from), local);
      }
    }
  }

  port(port: number, of = this.name): number {
    const local = this.ports.get(`${of}:${port}`);
    if (local === undefined) throw new Error(`${of} is not known to listen on ${port}`);
    return local;
  }

  path(absolute: string): string {
    if (this.app !== null && (absolute === '/app' || absolute.startsWith('/app/'))) {
      return path.join(this.app, absolute.slice('/app'.length));
    }
    return path.join(this.root, absolute);
  }

  /** One word of a command, or one value of an environment. */
  localize(text: string): string {
    return interpolate(text, {})
      .replace(/^(.*=)?(\/(?:app|run|secrets|data|var)(?:\/.*)?)$/, (_, before = '', at) => before + this.path(at))
      .replace(/\b([a-z]+):(\d{4,5})\b/g, (whole, host: string, port: string) =>
        this.ports.has(`${host}:${port}`) ? `127.0.0.1:${this.port(Number(port), host)}` : whole,
      )
      .replace(/\b0\.0\.0\.0:(\d+)\b/, (_, port: string) => `127.0.0.1:${this.port(Number(port))}`)
      .replace(/^--host=0\.0\.0\.0$/, '--host=127.0.0.1')
      .replace(/^--port=(\d+)$/, (_, port: string) => `--port=${this.port(Number(port))}`);
  }

  environment(ofImage: Readonly<Record<string, string>>): Record<string, string> {
    const all = { ...ofImage, ...environmentOf(this.service) };
    return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, this.localize(value)]));
  }
}
