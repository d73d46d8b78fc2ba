import Joi from 'joi';
import { InvalidRequestError } from '../errors.ts';
import type { Actor } from '../stores/store.ts';
import type { KeyHook } from './hooks.ts';
import { line, parse } from './schema.ts';
import type { RevokeOptions, RotateOptions, UpdateOptions } from './virtual-keys.ts';

const maxGraceSeconds = 30 * 86_400;

const ifVersion = Joi.number().integer().min(0);
const updateOptions = Joi.object<UpdateOptions>({ ifVersion, approve: Joi.function() });
const rotateOptions = Joi.object<RotateOptions>({
  graceSeconds: Joi.number().integer().min(0).max(maxGraceSeconds),
  ifVersion,
});
const revokeOptions = Joi.object<RevokeOptions>({ reason: line(500).allow(null) });
const closeOptions = Joi.object<{ timeoutMs?: number }>({ timeoutMs: Joi.number().min(0) });

// What a browser calls itself may be anything.
const text = Joi.string().allow('');
const actor = Joi.object<Actor>({ id: Joi.string().required(), role: text, ip: text, userAgent: text });
const named = Joi.object<{ actor?: Actor }>({ actor });

const steps = ['before', 'after', 'undo'] as const;
const plainHook = Joi.object<KeyHook>({
  before: Joi.function(),
  after: Joi.function(),
  undo: Joi.function(),
  outbox: Joi.boolean(),
});

/** @throws InvalidRequestError with every problem of the options */
export function parseUpdateOptions(options: unknown = {}): UpdateOptions {
  return parse(updateOptions, options, { name: 'options' });
}

/** @throws InvalidRequestError with every problem of the options */
export function parseRotateOptions(options: unknown = {}): RotateOptions {
  return parse(rotateOptions, options, { name: 'options' });
}

/** @throws InvalidRequestError with every problem of the options */
export function parseRevokeOptions(options: unknown = {}): { readonly reason: string | null } {
  return { reason: parse(revokeOptions, options, { name: 'options' }).reason ?? null };
}

/** @throws InvalidRequestError with every problem of the options */
export function parseCloseOptions(options: unknown = {}): { readonly timeoutMs?: number } {
  return parse(closeOptions, options, { name: 'options' });
}

/**
 * Refuses an actor that would stand in the audit log as nobody: a bare string, or an object of another kind.
 *
 * @throws InvalidRequestError with every problem of the actor
 */
export function checkActor(given: unknown): void {
  if (given !== undefined) parse(named, { actor: given });
}

/**
 * Refuses a hook that would never do anything. An instance of a class may have fields of its own.
 *
 * @throws InvalidRequestError naming what is unknown, of the wrong type, or missing
 */
export function checkHook(hook: KeyHook): void {
  const isObject = typeof hook === 'object' && hook !== null;
  const isInstance = isObject && ![Object.prototype, null].includes(Object.getPrototypeOf(hook));
  const { before, after, undo, outbox } = isObject ? hook : {};
  parse(plainHook, isInstance ? { before, after, undo, outbox } : hook, { name: 'hook' });
  if (outbox !== true && steps.every((step) => hook[step] === undefined)) {
    throw new InvalidRequestError([{ field: 'hook', message: 'must have before, after, undo or outbox: true' }]);
  }
}
