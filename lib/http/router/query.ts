import type { Request } from 'express';
import { InvalidRequestError } from '../../errors.ts';
import type { KeyStatus } from '../../keys/virtual-key.ts';
import type { AlertRequest, AuditRequest, KeyListFilter, PageInput } from '../../keys/virtual-keys.ts';
import type { UsageDimension } from '../../usage/usage.ts';
import type { KeyScope } from './roles.ts';

// The queries are only read here: what they say is checked by the service, like any other input.

/** The query of a request, read the same way whatever query parser the app has set. */
export function queryOf(req: Request): URLSearchParams {
  const at = req.originalUrl.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : req.originalUrl.slice(at + 1));
}

/** Values that are repeated or separated by commas. */
function listOf(query: URLSearchParams, name: string): readonly string[] | undefined {
  if (!query.has(name)) return undefined;
  return query.getAll(name).flatMap((values) => values.split(',').map((value) => value.trim()));
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

export function pageOf(query: URLSearchParams): PageInput {
  return defined({
    limit: numberOf(query, 'limit'),
    cursor: query.get('cursor') ?? undefined,
    page: numberOf(query, 'page'),
  });
}

/** The filter that a query names, inside the scope of the caller. */
export function filterOf(query: URLSearchParams, scope: KeyScope): KeyListFilter {
  return {
    models: listOf(query, 'modelIds') ?? listOf(query, 'models'),
    // The service refuses what is no status.
    status: (query.get('status') ?? undefined) as KeyStatus | undefined,
    ownerId: inside(scope.ownerIds, query.get('ownerId')),
    teamId: inside(scope.teamIds, query.get('teamId')),
    tag: query.get('tag') ?? undefined,
    search: query.get('search') ?? undefined,
  };
}

export function usageOf(query: URLSearchParams): { days: number; groupBy: readonly UsageDimension[] } {
  return {
    days: numberOf(query, 'days') ?? 30,
    groupBy: (listOf(query, 'groupBy') ?? ['day', 'model']) as readonly UsageDimension[],
  };
}

export function auditOf(query: URLSearchParams): AuditRequest {
  return {
    keyId: query.get('keyId') ?? undefined,
    target: query.get('target') ?? undefined,
    action: query.get('action') ?? undefined,
  };
}

/** The alerts that a query asks for, of those about the owners and teams of the caller. */
export function alertsOf(query: URLSearchParams, scope: KeyScope): AlertRequest {
  return {
    // The service refuses what is no type.
    type: listOf(query, 'type') as AlertRequest['type'],
    keyId: query.get('keyId') ?? undefined,
    target: query.get('target') ?? undefined,
    ownerId: inside(scope.ownerIds, query.get('ownerId')),
    teamId: inside(scope.teamIds, query.get('teamId')),
  };
}

/** @throws InvalidRequestError for anything but `true` and `false` */
export function flagOf(query: URLSearchParams, name: string): boolean {
  const text = query.get(name) ?? 'false';
  if (text !== 'true' && text !== 'false') {
    throw new InvalidRequestError([{ field: name, message: 'must be true or false' }]);
  }
  return text === 'true';
}

function inside(ids: readonly string[] | undefined, asked: string | null): string | readonly string[] | undefined {
  if (asked === null) return ids;
  return ids === undefined || ids.includes(asked) ? asked : [];
}

function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
