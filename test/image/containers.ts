import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Ran, runProgram } from '../../scripts/checks/program.ts';

/**
 * podman and buildah on a storage of our own, as they run also where there is no systemd, no cgroup of ours, and no network but
 * the machine's.
 */
export class Containers {
  private readonly dir: string;
  private readonly say: (text: string) => void;

  private constructor(dir: string, say: (text: string) => void) {
    this.dir = dir;
    this.say = say;
  }

  static async open(dir: string, say: (text: string) => void): Promise<Containers> {
    await mkdir(dir, { recursive: true });
    const containers = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`;
    const storage = `[storage]
driver = "overlay"
graphroot = "${path.join(dir, 'storage')}"
runroot = "${path.join(dir, 'run')}"
`;
    await writeFile(path.join(dir, 'containers.conf'), containers);
    await writeFile(path.join(dir, 'storage.conf'), storage);
    return new Containers(dir, say);
  }

  /** Where podman and buildah find all this. */
  get env(): Record<string, string> {
    return {
      BUILDAH_ISOLATION: 'chroot',
      CONTAINERS_CONF: path.join(this.dir, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: path.join(this.dir, 'storage.conf'),
    };
  }

  async buildah(args: readonly string[]): Promise<Ran> {
    return this.run('buildah', args);
  }

  async podman(args: readonly string[]): Promise<Ran> {
    return this.run('podman', args);
  }

  private async run(program: string, args: readonly string[]): Promise<Ran> {
    const settings = Object.entries(this.env).map(([name, value]) => `${name}=${value}`);
    return runProgram('env', [...settings, program, ...args], { echo: this.say });
  }
}

/** @throws Error with what the program said, where it failed */
export function succeeded(what: string, { code, stdout, stderr }: Ran): string {
  if (code === 0) return stdout.trim();
  throw new Error(`${what} exited with ${code}: ${(stderr || stdout).slice(-3000)}`);
}
