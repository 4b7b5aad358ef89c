// The machine's own tree as the root: seen, and never changed.
import { existsSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { type RunOptions, runContainer, UnsupportedError } from '../src/index.js';

const asRoot = need('root');
const asUser = need('ordinary-user', 'overlay-in-userns');
const run = (script: string, options: RunOptions = {}) => runContainer({ rootfs: 'host', command: ['/bin/sh', '-c', script], ...options });

describe.skipIf(!asRoot.ok)(asRoot.title('the machine’s own tree'), () => {
  it('is there, and changes are the container’s own', async () => {
    const name = `/ctr-test-host-root-${process.pid}`;
    expect(await run(`ls -d /usr /etc; echo x > ${name} && cat ${name}`).text()).toBe('/etc\n/usr\nx\n');
    expect(existsSync(name)).toBe(false);
  });
});

describe.skipIf(!asUser.ok)(asUser.title('the machine’s own tree without root'), () => {
  it('can be looked at', async () => {
    const result = await run('ls -d /usr; echo x > /tmp/f && echo written; touch /usr/x', {
      readOnly: true,
      tmpfs: { '/tmp': '1m' },
    }).result();
    expect([result.stdout, result.stderr]).toEqual(['/usr\nwritten\n', expect.stringMatching(/Read-only file system/)]);
  });

  it('cannot have a writable layer', async () => expect(run('true')).rejects.toThrow(UnsupportedError));
});
