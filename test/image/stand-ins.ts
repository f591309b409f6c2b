import { cp, mkdir, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runProgram } from '../../scripts/checks/program.ts';
import { type Containers, succeeded } from './containers.ts';

const suite = 'trixie';

/** What gcr.io/distroless/cc-debian13 is made of. */
const runtimePackages =
  'base-files ca-certificates gcc-14-base libc6 libgcc-s1 libgomp1 libssl3t64 libstdc++6 libzstd1 media-types netbase tzdata zlib1g';

export interface StandIns {
  readonly dir: string;
  readonly node: string;
  readonly runtime: string;
}

/**
 * Images under the names of the real bases, where those cannot be had: Debian with a compiler, Node and npm; and the packages
 * of the distroless image without anything else. A container's network may have authorities of its own: the certificates of this
 * machine are put in, and npm is told of them.
 */
export async function makeStandIns(containers: Containers, { dir, node, runtime }: StandIns): Promise<void> {
  const found = await Promise.all([node, runtime].map((tag) => containers.podman(['image', 'exists', tag])));
  if (found.every(({ code }) => code === 0)) return;
  const rootfs = path.join(dir, 'debian');
  if ((await stat(path.join(dir, 'debian.made')).catch(() => null)) === null) {
    await rm(rootfs, { recursive: true, force: true });
    const args = ['--variant=minbase', '--include=ca-certificates,g++,make', suite, rootfs];
    succeeded('debootstrap', await runProgram('debootstrap', args));
    await writeFile(path.join(dir, 'debian.made'), suite);
  }
  const local = path.join(dir, 'local');
  await rm(local, { recursive: true, force: true });
  await mkdir(path.join(local, 'bin'), { recursive: true });
  await cp(process.execPath, path.join(local, 'bin', 'node'));
  await cp(await npmFolder(), path.join(local, 'lib', 'node_modules', 'npm'), {
    recursive: true,
    dereference: true,
  });
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', path.join(local, 'bin', 'npm'));
  await cp('/etc/ssl/certs/ca-certificates.crt', path.join(dir, 'ca-certificates.crt'));
  const system = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  await writeFile(
    path.join(dir, 'node.Containerfile'),
    `FROM scratch
COPY debian /
COPY local /usr/local
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV ${system} NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
`,
  );
  await writeFile(
    path.join(dir, 'runtime.Containerfile'),
    `FROM ${node} AS packages
RUN apt-get update && mkdir /debs /out && cd /debs && apt-get download ${runtimePackages} \\
  && for deb in *.deb; do dpkg -x "$deb" /out; done \\
  && rm -rf /out/usr/share/doc /out/usr/share/man && mkdir -p /out/home/nonroot /out/tmp && chmod 1777 /out/tmp \\
  && chown 65532:65532 /out/home/nonroot && printf 'root:x:0:\\nnonroot:x:65532:\\n' > /out/etc/group \\
  && printf 'root:x:0:0::/root:/sbin/nologin\\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\\n' > /out/etc/passwd
FROM scratch
COPY --from=packages /out /
ENV ${system}
USER 65532
`,
  );
  for (const [file, tag] of [
    ['node', node],
    ['runtime', runtime],
  ] as const) {
    const args = ['build', '--layers', '--pull-never', '--format', 'docker', '--tag', tag];
    args.push('--file', path.join(dir, `${file}.Containerfile`), dir);
    succeeded(`the stand-in of ${tag}`, await containers.buildah(args));
  }
}

/** The npm of this machine: its program is a link into its folder. */
async function npmFolder(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
    const program = await realpath(path.join(folder, 'npm')).catch(() => null);
    if (program?.endsWith('/npm/bin/npm-cli.js')) return path.dirname(path.dirname(program));
  }
  throw new Error('no npm in PATH');
}
