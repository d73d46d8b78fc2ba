import Joi from 'joi';
import { InvalidRequestError, type Problem } from '../errors.ts';
import { unknownField } from '../options.ts';
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

export interface InputContext {
  /** What moments in the input are held against. @defaultValue 0 */
  readonly nowMs?: number | undefined;
  /** What problems of the input as a whole are told of. @defaultValue 'input' */
  readonly name?: string | undefined;
}

/** What an input says, by its schema, or all that is wrong with it. Nothing is converted: `"5"` is no number. */
export function check<T>(
  schema: Joi.Schema<T>,
  input: unknown,
  { nowMs = 0, name = 'input' }: InputContext = {},
): { readonly value: T } | { readonly problems: readonly Problem[] } {
  if (input === undefined) return { problems: [{ field: name, message: 'is required' }] };
  const copied = copyInput(input);
  if (copied.outcome === 'refused') return { problems: [copied.problem] };
  const { error, value } = schema.validate(copied.copy, {
    abortEarly: false,
    convert: false,
    errors: { label: false },
    context: { nowMs },
  });
  if (error === undefined) return { value };
  return { problems: error.details.slice(0, maxProblems).map((detail) => problemOf(detail, schema, name)) };
}

/** As {@link check}. @throws InvalidRequestError with every problem of the input */
export function parse<T>(schema: Joi.Schema<T>, input: unknown, context?: InputContext): T {
  const checked = check(schema, input, context);
  if ('problems' in checked) throw new InvalidRequestError(checked.problems);
  return checked.value;
}

function problemOf(
  { path, type, message, context }: Joi.ValidationErrorItem,
  schema: Joi.Schema,
  inputName: string,
): Problem {
  if (type === 'object.missing') return { field: context?.peers[0], message: 'is required' };
  if (type === 'object.nand') {
    return { field: context?.peers[0], message: `must not be given together with ${context?.main}` };
  }
  const field = path.length === 0 ? inputName : path.join('.');
  if (type !== 'object.unknown') return { field, message };
  return { field, message: unknownField(String(path.at(-1)), namesAt(path.slice(0, -1), schema)) };
}

/** Schemas stay as they are, and to describe one takes long. */
const descriptions = new WeakMap<Joi.Schema, Joi.Description>();

/** The fields that a schema has at a path; none where any name will do. */
function namesAt(path: readonly (string | number)[], schema: Joi.Schema): readonly string[] {
  const described = descriptions.get(schema) ?? schema.describe();
  descriptions.set(schema, described);
  let { keys } = described;
  for (const step of path) keys = keys && Object.hasOwn(keys, step) ? keys[step].keys : undefined;
  return Object.keys(keys ?? {});
}
