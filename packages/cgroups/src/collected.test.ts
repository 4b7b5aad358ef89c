import { expect, it } from 'vitest';
import { parseCollected } from './collected.js';

it('reads what a v1 launch sent back', () => {
  const directories = { cpu: '/c/cpu/x', cpuacct: '/c/acct/x', memory: '/c/mem/x', pids: '/c/pids/x', unified: '/c/u/x' };
  const files = new Map([
    ['/c/mem/x/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n'],
    ['/c/mem/x/memory.max_usage_in_bytes', '104857600\n'],
    ['/c/acct/x/cpuacct.usage', '1500000\n'],
    ['/c/cpu/x/cpu.stat', 'nr_periods 4\nnr_throttled 1\nthrottled_time 2000000\n'],
    ['/c/pids/x/pids.events', 'max 7\n'],
    ['/c/pids/x/pids.peak', '20\n'],
  ]);
  expect(parseCollected(files, directories)).toEqual({
    oomKills: 2,
    memoryPeakBytes: 104857600,
    cpuUsageMs: 1.5,
    throttledMs: 2,
    pidsLimitHits: 7,
    pidsPeak: 20,
  });
});

it('reads what a v2 launch sent back', () => {
  const directories = { cpu: '/c/x', memory: '/c/x', pids: '/c/x', unified: '/c/x' };
  const files = new Map([
    ['/c/x/memory.events', 'low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n'],
    ['/c/x/memory.peak', '4096\n'],
    ['/c/x/cpu.stat', 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 1\nnr_throttled 0\nthrottled_usec 0\n'],
    ['/c/x/pids.events', 'max 0\n'],
  ]);
  expect(parseCollected(files, directories)).toEqual({
    oomKills: 1,
    memoryPeakBytes: 4096,
    cpuUsageMs: 1.5,
    throttledMs: 0,
    pidsLimitHits: 0,
    pidsPeak: null,
  });
});

it('a number that was not sent is null, so that nothing is claimed', () => {
  const nothing = { oomKills: 0, memoryPeakBytes: null, cpuUsageMs: null, throttledMs: null, pidsLimitHits: null, pidsPeak: null };
  expect(parseCollected(new Map(), { memory: '/c/mem/x' })).toEqual(nothing);
  expect(parseCollected(new Map([['/other/memory.events', 'oom_kill 1\n']]), {})).toEqual(nothing);
});
