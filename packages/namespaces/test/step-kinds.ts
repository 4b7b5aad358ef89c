// Which kinds of steps the packages can make: read from their source, so that a new kind cannot be forgotten.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const checkout = fileURLToPath(new URL('../../../', import.meta.url));

/** Every file of the sources of the packages, without tests. */
function sources(): string[] {
  const roots = [
    'internal/src',
    ...readdirSync(path.join(checkout, 'packages'))
      .map((name) => path.join('packages', name, 'src'))
      .filter((dir) => existsSync(path.join(checkout, dir))),
  ];
  return roots.flatMap((dir) =>
    readdirSync(path.join(checkout, dir), { recursive: true, encoding: 'utf8' })
      .filter((f) => f.endsWith('.ts') && !/\.test\.ts$|(^|\/)testing\//.test(f))
      .map((f) => path.join(dir, f)),
  );
}

/** The property of an object literal that has this name, however it is written. */
const property = (object: ts.ObjectLiteralExpression, name: string): ts.ObjectLiteralElementLike | undefined =>
  object.properties.find((p) => p.name !== undefined && (ts.isIdentifier(p.name) || ts.isStringLiteral(p.name)) && p.name.text === name);

/** The texts that an expression may be: both of `a ? 'x' : 'y'`; nothing for what is computed. */
function texts(e: ts.Expression): string[] {
  if (ts.isStringLiteralLike(e)) return [e.text];
  if (ts.isConditionalExpression(e)) return [...texts(e.whenTrue), ...texts(e.whenFalse)];
  if (ts.isParenthesizedExpression(e) || ts.isAsExpression(e) || ts.isSatisfiesExpression(e)) return texts(e.expression);
  return [];
}

export interface StepKinds {
  /** Kind to the places where such steps are made. */
  kinds: Map<string, string[]>;
  /** Places where a step is made whose kind is not written there. */
  computed: string[];
}

/** An object literal with `call` and `args` is a step: errors and hints have no `args`. */
export function stepKinds(): StepKinds {
  const found: StepKinds = { kinds: new Map(), computed: [] };
  for (const name of sources()) {
    const text = readFileSync(path.join(checkout, name), 'utf8');
    if (!/\bcall\b/.test(text)) continue;
    const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
    const visit = (node: ts.Node): void => {
      ts.forEachChild(node, visit);
      if (!ts.isObjectLiteralExpression(node)) return;
      const call = property(node, 'call');
      if (call === undefined || property(node, 'args') === undefined) return;
      const where = `${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      const kinds = ts.isPropertyAssignment(call) ? texts(call.initializer) : [];
      if (kinds.length === 0) found.computed.push(where);
      for (const kind of kinds) found.kinds.set(kind, [...(found.kinds.get(kind) ?? []), where]);
    };
    visit(file);
  }
  return found;
}
