import type { Expression } from './expression.ts';
import { describe, Instance, isMap, listOf, text, type Value } from './functions.ts';

/** Keys and values as `for` sees them: of a list its indices, and of a set, which for_each takes, its elements. */
export function entriesOf(value: Value, isSet = false): [Value, Value][] {
  if (Array.isArray(value)) return (value as readonly Value[]).map((one, i) => [isSet ? one : i, one]);
  if (isMap(value)) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  throw new Error(`a list or a map was expected; found ${describe(value)}`);
}

export function member(of: Value, key: Value): Value {
  if (of instanceof Instance) return of.get(text(key));
  if (Array.isArray(of)) {
    const found = (of as readonly Value[])[Number(key)];
    if (found === undefined) throw new Error(`there is no element ${describe(key)} of ${of.length}`);
    return found;
  }
  if (isMap(of)) {
    const found = of[text(key)];
    if (found === undefined) throw new Error(`there is no ${describe(key)} in ${describe(of)}`);
    return found;
  }
  throw new Error(`${describe(of)} has no ${describe(key)}`);
}

export function binary(operator: string, left: Value, right: () => Value): Value {
  if (operator === '||') return left === true || right() === true;
  if (operator === '&&') return left === true && right() === true;
  const other = right();
  if (operator === '==') return left === other;
  if (operator === '!=') return left !== other;
  const [a, b] = [Number(left), Number(other)];
  if (left === null || other === null || Number.isNaN(a) || Number.isNaN(b)) {
    throw new Error(`${describe(left)} ${operator} ${describe(other)} takes numbers`);
  }
  switch (operator) {
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    case '>=':
      return a >= b;
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    default:
      return operator === '/' ? a / b : a % b;
  }
}

/** The value as a variable of this type has it: attributes that an object may leave out have their defaults. */
export function converted(value: Value, type: Expression, evaluate: (one: Expression) => Value): Value {
  if (value === null || type.kind !== 'call') return value;
  const [inner] = type.args;
  if (type.name === 'list' || type.name === 'set') return listOf(value).map((one) => converted(one, inner!, evaluate));
  if (type.name === 'map')
    return Object.fromEntries(entriesOf(value).map(([key, one]) => [text(key), converted(one, inner!, evaluate)]));
  if (type.name !== 'object' || inner?.kind !== 'object') return value;
  const made: Record<string, Value> = {};
  for (const [key, declared] of inner.entries) {
    const name = text(evaluate(key));
    const optional = declared.kind === 'call' && declared.name === 'optional';
    const given = isMap(value) ? value[name] : undefined;
    if (given !== undefined && given !== null)
      made[name] = converted(given, optional ? declared.args[0]! : declared, evaluate);
    else if (optional) made[name] = declared.args[1] === undefined ? null : evaluate(declared.args[1]);
    else if (given === null) made[name] = null;
    else throw new Error(`the attribute ${name} is missing in ${describe(value)}`);
  }
  return made;
}
