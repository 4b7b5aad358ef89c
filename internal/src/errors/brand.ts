// Brands, not prototypes: every published package carries its own copy of these classes, so
// `instanceof` goes by a registered symbol and holds across copies.

/** Makes `x instanceof cls` true for an instance of any loaded copy of the class. */
export function branded(cls: { prototype: object }, name: string): void {
  const brand = Symbol.for(`ctr.error.${name}`);
  Object.defineProperty(cls.prototype, brand, { value: true });
  Object.defineProperty(cls.prototype, 'name', { value: name, writable: true, configurable: true });
  Object.defineProperty(cls, Symbol.hasInstance, {
    value: (x: unknown) => typeof x === 'object' && x !== null && (x as Record<symbol, unknown>)[brand] === true,
  });
}
