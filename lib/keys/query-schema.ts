import Joi from 'joi';
import type { ScopeId } from '../limits/limit.ts';
import type { AlertQuery, AuditQuery, KeyFilter, Page } from '../stores/store.ts';
import type { UsageDimension } from '../usage/usage.ts';
import { readMoment } from './moment.ts';
import { line, parse } from './schema.ts';
import { alertTypes } from './shown-alert.ts';
import { keyStatuses } from './virtual-key.ts';
import type { AlertRequest, KeyListFilter, PageInput, UsageRequest, VirtualKeys } from './virtual-keys.ts';

const defaultPageLimit = 20;
const dimensions: readonly UsageDimension[] = ['key', 'owner', 'team', 'model', 'day', 'endpoint'];

type AuditInput = NonNullable<Parameters<VirtualKeys['audit']>[0]>;

const id = line(256);
const oneOrMore = (item: Joi.StringSchema) => Joi.alternatives(item, Joi.array().items(item).max(1000));
const moment = Joi.any().custom((value: unknown, { message }) => {
  const invalid = { custom: 'must be ISO 8601 with a time zone, epoch milliseconds or a Date' };
  return readMoment(value) ?? message(invalid);
});

const keyListFilter = Joi.object<KeyListFilter>({
  models: Joi.array().items(id).min(1).max(100),
  status: Joi.valid(...keyStatuses),
  ownerId: oneOrMore(id),
  teamId: oneOrMore(id),
  tag: line(64),
  search: line(255),
});

const page = Joi.object<PageInput>({
  limit: Joi.number().integer().min(1).max(100),
  cursor: line(1024),
  page: Joi.number().integer().min(1).max(1_000_000),
}).nand('cursor', 'page');

const usageRequest = Joi.object<UsageRequest>({
  keyId: id,
  ownerId: oneOrMore(id),
  teamId: oneOrMore(id),
  model: id,
  from: moment,
  until: moment,
  days: Joi.number().integer().min(1).max(365),
  groupBy: Joi.array()
    .items(Joi.valid(...dimensions))
    .unique(),
}).nand('from', 'days');

const auditInput = Joi.object<AuditInput>({ keyId: oneOrMore(id), target: line(300), action: line(100) }).nand(
  'keyId',
  'target',
);

const alertRequest = Joi.object<AlertRequest>({
  type: oneOrMore(Joi.string().valid(...alertTypes)),
  keyId: oneOrMore(id),
  target: line(300).pattern(/^(global|(key|user|team):.+)$/),
  ownerId: oneOrMore(id),
  teamId: oneOrMore(id),
}).nand('keyId', 'target');

/** @throws InvalidRequestError with every problem of the filter */
export function parseKeyListFilter(filter: KeyListFilter = {}): KeyFilter {
  const { ownerId, teamId, ...others } = parse(keyListFilter, filter);
  return { ...others, ownerIds: listed(ownerId), teamIds: listed(teamId) };
}

/** @throws InvalidRequestError with every problem of the page */
export function parsePage(input: PageInput = {}): Page {
  const { limit = defaultPageLimit, cursor, page: number } = parse(page, input);
  return number === undefined ? { limit, cursor } : { limit, page: number };
}

/** @throws InvalidRequestError with every problem of the request */
export function parseUsageRequest(request: UsageRequest = {}): UsageRequest {
  return parse(usageRequest, request);
}

/** @throws InvalidRequestError with every problem of the query */
export function parseAuditQuery(query: AuditInput = {}): AuditQuery {
  const { keyId, target, action } = parse(auditInput, query);
  return { targets: target === undefined ? listed(keyId)?.map((keyed) => `key:${keyed}`) : [target], action };
}

/** @throws InvalidRequestError with every problem of the query */
export function parseAlertRequest(request: AlertRequest = {}): AlertQuery {
  const { type, keyId, target, ownerId, teamId } = parse(alertRequest, request);
  return {
    types: listed(type),
    // The schema lets nothing else through.
    scopeIds: target === undefined ? listed(keyId)?.map((keyed): ScopeId => `key:${keyed}`) : [target as ScopeId],
    ownerIds: listed(ownerId),
    teamIds: listed(teamId),
  };
}

function listed<T extends string>(value: T | readonly T[] | undefined): readonly T[] | undefined {
  return typeof value === 'string' ? [value] : value;
}
