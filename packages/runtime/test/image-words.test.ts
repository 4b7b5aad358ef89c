// Case L-50: an image whose labels and annotations are words to which engines listen (CVE-2026-53488, CVE-2026-53492 of containerd): hooks,
// loggers, mounts, devices, runtimes, and what looks like our own. Nothing here reads them: such an image runs as one without.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Image, ImageStore, packTar } from '@ctr/image';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { explain, runContainer } from '../src/index.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');

/** What each would do where somebody listened; `canary` is a folder of the host. */
function words(canary: string): Record<string, string> {
  const touch = `/bin/touch ${canary}/touched`;
  const hook = JSON.stringify({ path: '/bin/touch', args: ['touch', `${canary}/touched`] });
  return {
    // Our own names, as far as anybody could guess them.
    ...Object.fromEntries(['ctr', 'dev.ctr', 'io.ctr', 'org.ctr', '@ctr/runtime', 'ctr.runtime'].map((own) => [`${own}.hook`, hook])),
    'ctr.rootfs': '/',
    'ctr.mounts': JSON.stringify([{ type: 'bind', source: canary, target: '/stolen' }]),
    'ctr.form': 'erofs',
    'ctr-implicit': 'y',
    'ctr.userns': 'host',
    'ctr.preset': 'docker',
    'ctr.seccomp': 'unconfined',
    // containerd and its kin
    'containerd.io/restart.status': 'running',
    'containerd.io/restart.logpath': `file://${canary}/log`,
    'containerd.io/restart.loguri': `binary:///bin/touch?${canary}/touched`,
    'containerd.io/snapshot.ref': 'sha256:0',
    'containerd.io/gc.root': 'now',
    'nerdctl/log-uri': `binary:///bin/touch?${canary}/touched`,
    'nerdctl/mounts': JSON.stringify([{ Type: 'bind', Source: canary, Destination: '/stolen' }]),
    'io.containerd.runc.v2.group': 'group',
    'io.containerd.image.unpack': `sh -c '${touch}'`,
    // CRI, CDI, Kubernetes and Podman
    'io.kubernetes.cri-o.Devices': '/dev/kmsg:/dev/kmsg:rwm',
    'io.kubernetes.cri-o.userns-mode': 'host',
    'cdi.k8s.io/all': 'vendor.com/device=all',
    'io.podman.annotations.privileged': 'TRUE',
    'io.podman.annotations.seccomp': 'unconfined',
    'io.containers.capabilities': 'SYS_ADMIN,MKNOD',
    run: `podman run --privileged -v /:/host IMAGE`,
    RUN: `podman run --privileged -v /:/host IMAGE`,
    install: touch,
    'com.docker.volume.anonymous': '/stolen',
    'devcontainer.metadata': JSON.stringify([{ mounts: [`source=${canary},target=/stolen,type=bind`], initializeCommand: touch }]),
    // runc, crun and the runtime specification
    'run.oci.hooks.stdout': `${canary}/touched`,
    'run.oci.handler': 'krun',
    'run.oci.mount_context_type': 'rootcontext',
    'run.oci.seccomp.receiver': `unix:${canary}/socket`,
    'run.oci.delegate-cgroup': '/',
    'run.oci.keep_original_groups': '1',
    'run.oci.systemd.force_cgroup_v1': '/sys/fs/cgroup',
    'org.systemd.property.ExecStartPre': `'${touch}'`,
    'org.criu.config': `${canary}/criu.conf`,
    'org.opencontainers.runtime-spec.hooks': JSON.stringify({ prestart: [JSON.parse(hook)] }),
    'org.opencontainers.image.stopSignal': 'SIGKILL',
    'org.opencontainers.image.exposedPorts': '80',
    hooks: JSON.stringify({ createRuntime: [JSON.parse(hook)] }),
    devices: '/dev/kmsg',
    mounts: canary,
    privileged: 'true',
    ['__proto__']: 'polluted',
    constructor: 'polluted',
  };
}

const SCRIPT =
  'id; ls /; ls /dev; cat /proc/self/mountinfo | sed "s/^[0-9]* [0-9]* [0-9]*:[0-9]* //" | wc -l; grep Cap /proc/self/status; env | sort';

describe.skipIf(!n.ok)(n.title('L-50: words in an image'), () => {
  let store: ImageStore;
  let canary: string;
  let plain: Image;
  let loaded: Image;

  /** Puts the words wherever a document can have annotations: manifest, descriptors of config and layers, and the entry of the index. */
  function annotate(layout: string, all: Record<string, string>): void {
    const blob = (digest: string): string => path.join(layout, 'blobs/sha256', digest.slice(7));
    const index = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8'));
    const [entry] = index.manifests;
    const manifest = JSON.parse(readFileSync(blob(entry.digest), 'utf8'));
    for (const part of [manifest, manifest.config, ...manifest.layers]) part.annotations = all;
    const bytes = Buffer.from(JSON.stringify(manifest));
    entry.digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    entry.size = bytes.length;
    entry.annotations = { ...all, ...entry.annotations };
    writeFileSync(blob(entry.digest), bytes);
    writeFileSync(path.join(layout, 'index.json'), JSON.stringify(index));
  }

  beforeAll(async () => {
    store = await ImageStore.open({ root: makeTempDir('store') });
    canary = makeTempDir('canary');
    mkdirSync(path.join(canary, 'secret'));
    const busybox = { type: 'file', path: 'bin/busybox', source: host.program('busybox'), mode: 0o755 } as const;
    const links = ['sh', 'id', 'ls', 'cat', 'sed', 'wc', 'grep', 'env', 'sort'];
    const layer = () => packTar([busybox, ...links.map((name) => ({ type: 'symlink', path: `bin/${name}`, target: 'busybox' }) as const)]);
    const make = (reference: string, labels: Record<string, string>) =>
      store.create({ reference, layers: [layer()], config: { Env: ['PATH=/bin'], Labels: labels } });
    plain = await make('localhost/words/plain:1', {});
    await make('localhost/words/labelled:1', words(canary));
    const layout = path.join(makeTempDir('layout'), 'l');
    await store.save('localhost/words/labelled:1', layout, { format: 'directory' });
    annotate(layout, words(canary));
    [loaded] = (await store.load(layout, { reference: 'localhost/words/loaded:1' })) as [Image];
  });

  it('are kept, as text', () => {
    expect(loaded.config.Labels?.['run.oci.handler']).toBe('krun');
    expect(loaded.annotations['containerd.io/restart.status']).toBe('running');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('change nothing of what a container is made of', async () => {
    /** A container's id, and where the layers of an image lie, are its own. */
    const strip = (text: string, id: string): string =>
      text
        .replace(/[0-9a-f]{32,64}/g, 'ID')
        .replaceAll(id, 'ID')
        .replace(/fd\/\d+/g, 'fd/N');
    const outcome = async (image: Image): Promise<string> => {
      const { oci, plan } = await explain({ image, store, command: ['sh', '-c', SCRIPT] });
      return strip(`${JSON.stringify(oci, null, 1)}\n${plan}`, oci.hostname ?? 'ID');
    };
    expect(await outcome(loaded)).toBe(await outcome(plain));
  });

  it('change nothing inside, and nothing outside', async () => {
    const run = async (image: Image): Promise<string> =>
      (await runContainer({ image, store, command: ['sh', '-c', SCRIPT], hostname: 'h' }).result()).stdout;
    expect(await run(loaded)).toBe(await run(plain));
    expect(readdirSync(canary)).toEqual(['secret']);
    expect(existsSync('/touched')).toBe(false);
  });
});
