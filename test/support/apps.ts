import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { llmErrorHandler } from '../../lib/http/error-handler.ts';
import { type LlmGuardOptions, llmGuard } from '../../lib/http/guard.ts';
import { type RateLimitOptions, rateLimit } from '../../lib/http/rate-limit.ts';
import { type RecordUsageOptions, recordUsage } from '../../lib/http/record-usage.ts';
import { type RequireApiKeyOptions, requireApiKey } from '../../lib/http/require-api-key.ts';
import { type RequireModelAccessOptions, requireModelAccess } from '../../lib/http/require-model-access.ts';
import type { VirtualKeys } from '../../lib/keys/virtual-keys.ts';

// Untyped as a package of its own; it is Express 4 by another name.
const express4: typeof express = (await import('express4' as string)).default;

/** Each major of Express that is supported. */
export const expressMajors: readonly (readonly [name: string, express: typeof express])[] = [
  ['Express 4', express4],
  ['Express 5', express],
];

/** Describes the same behaviour on each major of Express. */
export function onEachExpress(title: string, body: (createApp: typeof express) => void): void {
  for (const [name, major] of expressMajors) describe(`${title} on ${name}`, () => body(major));
}

export interface ChainOptions {
  readonly key?: Omit<RequireApiKeyOptions, 'keys'> | undefined;
  readonly access?: RequireModelAccessOptions | undefined;
  readonly limit?: RateLimitOptions | undefined;
  /** `false`: without it. */
  readonly usage?: RecordUsageOptions | false | undefined;
}

/** The four middlewares, mounted one by one around a parser, as the quick start does it. */
export function chain(
  { json }: typeof express,
  keys: VirtualKeys,
  { key, access, limit, usage }: ChainOptions = {},
): RequestHandler[] {
  return [
    requireApiKey({ keys, ...key }),
    json({ limit: '20mb' }),
    requireModelAccess(access),
    rateLimit(limit),
    ...(usage === false ? [] : [recordUsage(usage)]),
  ];
}

/** An app with the guard before its only handler. */
export function guardedApp(
  createApp: typeof express,
  options: LlmGuardOptions,
  ...handlers: readonly RequestHandler[]
): Express {
  return createApp()
    .use(llmGuard(options), ...handlers)
    .use(...lastResort());
}

/** An app with the four middlewares before its only handler. */
export function chainedApp(
  createApp: typeof express,
  keys: VirtualKeys,
  options: ChainOptions,
  ...handlers: readonly RequestHandler[]
): Express {
  return createApp()
    .use(...chain(createApp, keys, options), ...handlers)
    .use(...lastResort());
}

/** What an app has at its end: our error handler, and after it one of its own, which shows what reached it. */
export function lastResort(): ErrorRequestHandler[] {
  return [llmErrorHandler(), showError];
}

export const showError: ErrorRequestHandler = (error, _req, res, next) => {
  if (res.headersSent) return next(error);
  res.status(error.status ?? 500).json({ app: `${error.name}: ${error.message}` });
};
