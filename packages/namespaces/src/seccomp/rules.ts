// From the rules of a profile to the decision for each system call, with the precedence of libseccomp and runc:
//
// 1. A rule whose action is the default's changes nothing; runc leaves it out.
// 2. A rule without conditions beats all rules with conditions for the same call; among several the first counts.
// 3. Among rules with conditions the most specific counts: the one that pins most bits of the arguments, then the one with more
//    conditions, then the first. So an exception to a wide rule works in whichever order they stand, and a rule with
//    "argument >= 0" means "otherwise". (libseccomp sorts by much the same idea, and refuses some of the pairs.)
// 4. Two conditions on the same argument in one rule become two rules, one per condition of the whole rule, joined by "or".
import type { SyscallConvention } from '../syscalls/index.js';
import { returnValue } from './actions.js';
import { type Condition, conditionNode } from './conditions.js';
import { isNarrow } from './conventions.js';
import type { Graph, Node } from './graph.js';
import { addMultiplexed } from './multiplexed.js';
import type { OciSeccomp, OciSeccompArg, OciSeccompRule } from './types.js';

export interface Rule {
  readonly value: number;
  /** Empty: no conditions at all, which is more than conditions that always hold. */
  readonly conditions: readonly Condition[];
}

function condition(arg: OciSeccompArg, narrow: boolean): Condition {
  const bits = narrow ? 32 : 64;
  const [value, valueTwo] = [BigInt.asUintN(bits, BigInt(arg.value)), BigInt.asUintN(bits, BigInt(arg.valueTwo ?? 0))];
  return { index: arg.index, op: arg.op, value, valueTwo, narrow };
}

/** libseccomp generates nothing for an empty mask, so that a rule with nothing else has no condition. */
const isNothing = (c: Condition): boolean => c.op === 'SCMP_CMP_MASKED_EQ' && c.value === 0n;

function split(rule: OciSeccompRule, narrow: boolean): Condition[][] {
  const conditions = (rule.args ?? []).map((arg) => condition(arg, narrow));
  const repeats = new Set(conditions.map((c) => c.index)).size < conditions.length;
  return (repeats ? conditions.map((c) => [c]) : [conditions]).map((list) => list.filter((c) => !isNothing(c)));
}

function bitCount(value: bigint): number {
  let bits = 0;
  for (let rest = value; rest > 0n; rest >>= 1n) bits += Number(rest & 1n);
  return bits;
}

function pinnedBits(conditions: readonly Condition[]): number {
  const pinned = (c: Condition) => (c.op === 'SCMP_CMP_EQ' ? 64 : c.op === 'SCMP_CMP_MASKED_EQ' ? bitCount(c.value) : 0);
  return conditions.reduce((sum, c) => sum + pinned(c), 0);
}

/** The rules of a profile by the name of the call, in order, without those that change nothing. */
export function rulesByName(profile: OciSeccomp, convention: SyscallConvention): Map<string, Rule[]> {
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet);
  const byName = new Map<string, Rule[]>();
  for (const rule of profile.syscalls ?? []) {
    const value = returnValue(rule.action, rule.errnoRet);
    if (value === fallback) continue;
    const alternatives = split(rule, isNarrow(convention)).map((conditions) => ({ value, conditions }));
    for (const name of rule.names) {
      const before = byName.get(name);
      if (before) before.push(...alternatives);
      else byName.set(name, [...alternatives]);
    }
  }
  if (convention === 'x86') addMultiplexed(byName, fallback);
  return byName;
}

/** The decision for one call that has these rules. */
export function decision(graph: Graph, rules: readonly Rule[], otherwise: Node): Node {
  const always = rules.find((rule) => rule.conditions.length === 0);
  if (always) return graph.ret(always.value);
  const sorted = rules
    .map((rule) => ({ rule, bits: pinnedBits(rule.conditions) }))
    .sort((a, b) => b.bits - a.bits || b.rule.conditions.length - a.rule.conditions.length)
    .map(({ rule }) => rule);
  return sorted.reduceRight((next: Node, rule) => {
    const yes = graph.ret(rule.value);
    return rule.conditions.reduceRight((rest: Node, c) => conditionNode(graph, c, rest, next), yes);
  }, otherwise);
}
