// Case L-49: hostile image configs.
import { describe, expect, it } from 'vitest';
import { parseImageConfig } from './config.js';

const diffId = `sha256:${'b'.repeat(64)}`;
const base = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } };
const parse = (doc: unknown) => parseImageConfig(Buffer.from(typeof doc === 'string' ? doc : JSON.stringify(doc)));

describe('parseImageConfig', () => {
  it('reads what there is and leaves out what is not', () => {
    const config = {
      Env: ['PATH=/bin', 'A=', 'MULTI=a\nb'],
      Cmd: ['sh'],
      Entrypoint: null,
      User: '1000:1000',
      WorkingDir: '/w',
      Volumes: { '/data': {} },
      ExposedPorts: { '80/tcp': {} },
      Labels: { a: 'b', __proto: 'c' },
      StopSignal: 'SIGINT',
      Unknown: 5,
    };
    expect(parse({ ...base, variant: 'v1', created: '2026-01-01T00:00:00Z', config })).toEqual({
      config: {
        Env: ['PATH=/bin', 'A=', 'MULTI=a\nb'],
        Cmd: ['sh'],
        User: '1000:1000',
        WorkingDir: '/w',
        Volumes: ['/data'],
        ExposedPorts: ['80/tcp'],
        Labels: { a: 'b', __proto: 'c' },
        StopSignal: 'SIGINT',
      },
      platform: { os: 'linux', architecture: 'amd64', variant: undefined },
      diffIds: [diffId],
      created: '2026-01-01T00:00:00Z',
    });
  });

  it('reads a config without anything to run', () => {
    expect(parse({ ...base, config: null })).toEqual({
      config: {},
      platform: { os: 'linux', architecture: 'amd64', variant: undefined },
      diffIds: [diffId],
      created: undefined,
    });
  });

  it.each([
    ['Env without "="', { Env: ['A'] }],
    ['Env with an empty name', { Env: ['=x'] }],
    ['Env with NUL', { Env: ['A=\0'] }],
    ['Env as an object', { Env: { A: 'b' } }],
    ['Env with a number', { Env: [5] }],
    ['Cmd as text', { Cmd: 'sh -c true' }],
    ['Cmd as a number', { Cmd: 5 }],
    ['Cmd with NUL', { Cmd: ['a\0b'] }],
    ['Entrypoint as text', { Entrypoint: '/bin/sh' }],
    ['User as a number', { User: 0 }],
    ['User with NUL', { User: '0\0' }],
    ['WorkingDir as an array', { WorkingDir: ['/'] }],
    ['Labels with a number', { Labels: { a: 5 } }],
    ['Labels as an array', { Labels: ['a'] }],
    ['Volumes as text', { Volumes: '/data' }],
  ])('refuses %s', (_, config) => {
    expect(() => parse({ ...base, config })).toThrow(expect.objectContaining({ code: 'CTR_IMAGE_INVALID' }));
  });

  it.each([
    ['no rootfs', { ...base, rootfs: undefined }],
    ['another rootfs type', { ...base, rootfs: { type: 'x', diff_ids: [] } }],
    ['a diffID that is a path', { ...base, rootfs: { type: 'layers', diff_ids: ['sha256:../../x'] } }],
    ['architecture as a number', { ...base, architecture: 5 }],
    ['config as text', { ...base, config: 'x' }],
  ])('refuses %s', (_, doc) => {
    expect(() => parse(doc)).toThrow(expect.objectContaining({ code: 'CTR_IMAGE_INVALID' }));
  });

  it('takes keys with special names in labels as text, and pollutes nothing', () => {
    const { config } = parse(
      `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"__proto__":{"User":"root"},"Labels":{"__proto__":"x","constructor":"y"}}}`,
    );
    expect(config.User).toBeUndefined();
    expect(Object.entries(config.Labels ?? {})).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('says which line is wrong', () => {
    expect(() => parse({ ...base, config: { Env: ['A=b', 'WRONG'] } })).toThrowErrorMatchingInlineSnapshot(
      `[ImageError: image config.config.Env[1] must have the form NAME=value, it is "WRONG"]`,
    );
  });
});
