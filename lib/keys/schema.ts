import Joi from 'joi';
import { InvalidRequestError, type Problem } from '../errors.ts';
import { copyInput } from './input-copy.ts';

/** More problems than these are not told: a body may have as many as it has bytes. */
const maxProblems = 100;

// Control characters, line and paragraph separators, halves of surrogate pairs.
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/** A text of one line, with something to see in it. */
export function line(maxLength: number): Joi.StringSchema {
  return Joi.string().max(maxLength).pattern(/\S/).pattern(unprintable, { invert: true }).messages({
    'string.pattern.base': 'must not be blank',
    'string.pattern.invert.base': 'must not contain control characters',
  });
}

/** What an input says, by its schema, or all that is wrong with it. Nothing is converted: `"5"` is no number. */
export function check<T>(
  schema: Joi.Schema<T>,
  input: unknown,
  nowMs = 0,
): { readonly value: T } | { readonly problems: readonly Problem[] } {
  if (input === undefined) return { problems: [{ field: 'input', message: 'is required' }] };
  const copied = copyInput(input);
  if (copied.outcome === 'refused') return { problems: [copied.problem] };
  const { error, value } = schema.validate(copied.copy, {
    abortEarly: false,
    convert: false,
    errors: { label: false },
    context: { nowMs },
  });
  return error === undefined ? { value } : { problems: error.details.slice(0, maxProblems).map(problemOf) };
}

/** As {@link check}. @throws InvalidRequestError with every problem of the input */
export function parse<T>(schema: Joi.Schema<T>, input: unknown, nowMs?: number): T {
  const checked = check(schema, input, nowMs);
  if ('problems' in checked) throw new InvalidRequestError(checked.problems);
  return checked.value;
}

function problemOf({ path, type, message, context }: Joi.ValidationErrorItem): Problem {
  if (type === 'object.missing') return { field: context?.peers[0], message: 'is required' };
  if (type === 'object.nand') {
    return { field: context?.peers[0], message: `must not be given together with ${context?.main}` };
  }
  return { field: path.length === 0 ? 'input' : path.join('.'), message };
}
