// Looks at an image in its registry without pulling it: what the tag stands for, its platforms, its config, its layers, its tags.
// node index.mjs IMAGE [--insecure]
import { parseArgs } from 'node:util';
import { hostPlatform, parseReference, Repository } from '@ctr/image';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { insecure: { type: 'boolean' } } });
const name = positionals[0] ?? 'debian:12';
const repository = await Repository.open(name, { insecure: values.insecure ?? false });

const json = (bytes) => JSON.parse(Buffer.from(bytes).toString());
const blob = async (descriptor) => {
  const chunks = [];
  for await (const chunk of repository.blob(descriptor)) chunks.push(chunk);
  return json(Buffer.concat(chunks));
};
const platformOf = ({ platform: p }) => (p ? [p.os, p.architecture, p.variant].filter(Boolean).join('/') : 'unknown');

const root = await repository.manifest();
console.log(`${parseReference(name).name}\n  ${root.digest}\n  ${root.mediaType}`);
let manifest = json(root.bytes);
if (manifest.manifests) {
  for (const entry of manifest.manifests) console.log(`  ${platformOf(entry).padEnd(16)} ${entry.digest}`);
  const own = manifest.manifests.find((e) => e.platform?.os === 'linux' && e.platform.architecture === hostPlatform().architecture);
  manifest = json((await repository.manifest((own ?? manifest.manifests[0]).digest)).bytes);
}

const { config = {}, created, history = [] } = await blob(manifest.config);
const show = (label, value) => value?.length && console.log(`${label.padEnd(12)} ${Array.isArray(value) ? value.join(' ') : value}`);
show('created', created);
show('entrypoint', config.Entrypoint);
show('command', config.Cmd);
show('user', config.User);
show('directory', config.WorkingDir);
for (const line of config.Env ?? []) show('environment', line);
for (const { digest, size } of manifest.layers) show('layer', `${digest.slice(7, 19)} ${(size / 1e6).toFixed(1)} MB`);
for (const step of history) show('step', step.created_by?.slice(0, 100));

const tags = [];
for await (const tag of repository.tags()) if (tags.push(tag) >= 10) break;
show('tags', tags);
for await (const referrer of repository.referrers(root.digest)) show('referrer', `${referrer.artifactType} ${referrer.digest}`);
repository.close();
