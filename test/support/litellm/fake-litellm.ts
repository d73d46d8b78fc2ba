import { createHash, randomBytes } from 'node:crypto';
import express, { type NextFunction, type Request, type Response } from 'express';
import { listen } from '../listen.ts';
import { createFakeSpendLog } from './fake-spend-log.ts';
import type { LiteLLMProxy } from './litellm-proxy.ts';

/** How releases answer: `new` as 1.109.1 does, `old` as 1.82.6. */
export type Generation = 'new' | 'old';

interface Row {
  readonly token: string;
  status: 'live' | 'deleted';
  key_alias: string | null;
  blocked: boolean | null;
  metadata: Record<string, unknown>;
  expires: string | null;
  [column: string]: unknown;
}

/** Status, type, message and param. */
type Refusal = [number, string, string, string?];

const unknownKey: Refusal = [401, 'token_not_found_in_db', 'Authentication Error, Invalid API key provided.', 'key'];

/** What the next request of a path meets with, instead of an answer or after the act. */
export type Fault =
  /** Does it, and closes the connection without an answer. */
  | { readonly kind: 'lost_reply' }
  /** Does nothing and answers this. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: unknown;
    }
  /** Does nothing, and leaves the request unanswered. */
  | { readonly kind: 'silence' }
  /** Does it then, when whoever asked may have given up. */
  | { readonly kind: 'late'; readonly when: Promise<void> };

/** A request that changes a key, as it came. */
export interface FakeWrite {
  readonly path: string;
  readonly body: { readonly [name: string]: unknown };
}

export interface FakeLiteLLM extends LiteLLMProxy {
  /** `POST /key/generate` and the like, in their order. */
  readonly requests: string[];
  /** Those of them that change keys, and reached the act. */
  readonly writes: FakeWrite[];
  /** Has a key as if it had been asked to make it. */
  plant(secret: string, settings: { readonly [name: string]: unknown }): void;
  /** From now on connections are cut, before anything is done; `false`: not any more. */
  goDown(isDown?: boolean): void;
  /** Of the path's next requests, one each. */
  fail(path: string, ...faults: Fault[]): void;
  close(): Promise<void>;
}

const models = ['gpt-4o-mini', 'gpt-4o', 'claude-sonnet-4', 'pricey', 'free', 'slow'];
const limits = [
  'max_budget',
  'budget_duration',
  'rpm_limit',
  'tpm_limit',
  'tpd_limit',
  'max_parallel_requests',
  'user_id',
  'team_id',
];
const intoMetadata = ['model_rpm_limit', 'model_tpm_limit'];
const enterprise = ['tags', 'guardrails'];
/** They open every model. */
const openNames = ['*', 'all-proxy-models', 'all-team-models'];

export interface FakeOptions {
  readonly generation?: Generation;
  readonly hasDatabase?: boolean;
  /** What it says that it is. */
  readonly version?: string;
}

/** A server that answers as LiteLLM does, and fails when it is told to, as the real one cannot be. */
export async function fakeLiteLLM({
  generation = 'new',
  hasDatabase = true,
  version = generation === 'new' ? '1.109.1' : '1.82.6',
}: FakeOptions = {}): Promise<FakeLiteLLM> {
  const masterKey = `sk-${randomBytes(16).toString('hex')}`;
  const rows = new Map<string, Row>();
  const teams = new Map<string, unknown>();
  const users = new Map<string, unknown>();
  const requests: string[] = [];
  const writes: FakeWrite[] = [];
  const db = hasDatabase ? 'connected' : 'Not connected';
  const spendLog = createFakeSpendLog();
  const callsAtMs = new Map<string, number[]>();
  let isDown = false;
  const faults = new Map<string, Fault[]>();
  const isNew = generation === 'new';
  const app = express();

  app.use((req, _res, next) => void (isDown ? req.socket.destroy() : next()));
  app.use(express.json({ limit: '10mb' }), (req, res, next) => {
    requests.push(`${req.method} ${req.path}`);
    const fault = faults.get(req.path)?.shift();
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'status') {
      res
        .status(fault.status)
        .set(fault.headers ?? {})
        .json(fault.body ?? { detail: 'told to fail' });
      return;
    }
    if (fault?.kind === 'lost_reply') res.json = () => res.destroy();
    if (/^\/key\/(generate|update|block|unblock|delete)$/.test(req.path))
      writes.push({ path: req.path, body: req.body });
    if (fault?.kind === 'late') void fault.when.then(() => next());
    else next();
  });
  app.get('/health/readiness', (_req, res) => {
    res.json(isNew ? { status: 'healthy', db } : { status: 'connected', db, litellm_version: version });
  });
  app.post('/v1/chat/completions', (req, res) => {
    const token = sha256(String(req.headers.authorization).replace(/^Bearer /, ''));
    const row = rowOf(token);
    const refused = row === undefined ? unknownKey : callRefusal(row, req.body.model);
    if (refused !== undefined) return envelope(res, ...refused);
    callsAtMs.set(token, [...(callsAtMs.get(token) ?? []), Date.now()]);
    const { id, usage, spend } = spendLog.add(token, String(req.body.model));
    if (row !== undefined) row.spend = Number(row.spend) + spend;
    const choices = [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }];
    res.json({ id, object: 'chat.completion', model: req.body.model, choices, usage });
  });
  app.use((req, res, next) => {
    if (req.headers.authorization === `Bearer ${masterKey}`) return next();
    const tail = isNew
      ? ''
      : ` Received API Key = sk-...${req.headers.authorization?.slice(-4)}, Key Hash (Token) =${'e'.repeat(64)}`;
    envelope(res, 401, 'token_not_found_in_db', `Authentication Error, Invalid API key provided.${tail}`, 'key');
  });
  if (isNew) {
    app.get('/health/readiness/details', (_req, res) => {
      res.json({ status: 'healthy', db, litellm_version: version });
    });
    app.get('/health/license', (_req, res) => void res.json({ has_license: false, license_type: 'community' }));
  }
  app.get('/model/info', (_req, res) => {
    res.json({
      data: models.map((model_name) => ({ model_name, litellm_params: {}, model_info: { id: model_name } })),
    });
  });

  function envelope(res: Response, status: number, type: string, message: string, param?: string): void {
    const told = isNew || !/^(invalid_request|not_found)_error$/.test(type) ? type : 'internal_server_error';
    res
      .status(status)
      .json({ error: { message, type: told, param: param ?? (isNew ? null : 'None'), code: String(status) } });
  }

  function rowOf(key: unknown): Row | undefined {
    const text = String(key);
    const row = rows.get(/^[0-9a-f]{64}$/.test(text) ? text : sha256(text));
    return row?.status === 'deleted' ? undefined : row;
  }

  /** The reason why a call is refused, if it is. */
  function callRefusal(row: Row, model: unknown): Refusal | undefined {
    const { token, blocked, expires } = row;
    const [allowed, budget, rpm] = [row.models as string[], row.max_budget, row.rpm_limit];
    if (blocked) return [401, 'auth_error', 'Authentication Error, Key is blocked.'];
    if (expires !== null && Date.parse(expires) <= Date.now())
      return [isNew ? 401 : 400, 'expired_key', 'Expired Key.'];
    const isOpen = allowed.length === 0 || allowed.some((name) => name === model || openNames.includes(name));
    if (!isOpen) return [isNew ? 403 : 401, 'key_model_access_denied', 'The requested model is not available', 'model'];
    if (budget !== null && Number(row.spend) >= Number(budget)) {
      return [isNew ? 422 : 400, 'budget_exceeded', 'Budget has been exceeded!'];
    }
    const lately = (callsAtMs.get(token) ?? []).filter((atMs) => atMs > Date.now() - 60_000);
    return rpm !== null && lately.length >= Number(rpm) ? [429, 'throttling_error', 'Rate limit exceeded'] : undefined;
  }

  /** The reason why these settings are refused, if they are. */
  function refusal(body: Record<string, unknown>, row?: Row): Refusal | undefined {
    const paid = enterprise.find((name) => name in body);
    if (paid !== undefined) {
      return [403, 'auth_error', `This feature is only available for LiteLLM Enterprise users: ${paid}.`];
    }
    if (Object.keys(body.model_max_budget ?? {}).length > 0) {
      const message = 'Invalid model_max_budget: You must have an enterprise license to set model_max_budget.';
      return [500, 'internal_server_error', message];
    }
    const { max_budget, key_alias, max_parallel_requests, duration } = body;
    if (Number(max_parallel_requests) > 2_147_483_647) return [500, 'internal_server_error', 'Internal Server Error.'];
    if (
      /^\d+s$/.test(String(duration)) &&
      Date.now() / 1000 + seconds(String(duration)) > Date.UTC(10_000, 0, 1) / 1000
    ) {
      return [500, 'internal_server_error', 'date value out of range'];
    }
    if (typeof max_budget === 'number' && max_budget < 0) {
      return [400, 'invalid_request_error', `max_budget must be a non-negative finite number. Received: ${max_budget}`];
    }
    const holder = [...rows.values()].find((other) => other.status === 'live' && other.key_alias === key_alias);
    if (key_alias !== undefined && key_alias !== null && holder !== undefined && holder !== row) {
      const message = `Key with alias '${key_alias}' already exists. Unique key aliases across all keys are required.`;
      return [400, 'bad_request_error', message, 'key_alias'];
    }
    return undefined;
  }

  function apply(row: Row, body: Record<string, unknown>): void {
    for (const name of ['key_alias', 'models', 'blocked', 'spend', 'allowed_routes', ...limits]) {
      if (!(name in body)) continue;
      if (!isNew && name === 'budget_duration' && body[name] === null) continue;
      const value = body[name];
      // The database keeps 15 digits.
      row[name] = name === 'max_budget' && typeof value === 'number' ? Number(value.toPrecision(15)) : value;
    }
    if (body.metadata !== undefined) row.metadata = { ...(body.metadata as object) };
    for (const name of intoMetadata) if (name in body) row.metadata = { ...row.metadata, [name]: body[name] };
    const duration = body.duration === undefined ? undefined : String(body.duration);
    if (duration === '-1' || body.duration === null) row.expires = null;
    else if (duration !== undefined) row.expires = new Date(Date.now() + seconds(duration) * 1000).toISOString();
  }

  /** A secret that was there keeps its row. */
  function plant(secret: string, body: { readonly [name: string]: unknown }): void {
    const token = sha256(secret);
    if (rowOf(token) !== undefined) return;
    const row: Row = { token, status: 'live', key_alias: null, blocked: null, metadata: {}, expires: null };
    const key_name = `sk-...${secret.slice(-4)}`;
    Object.assign(row, { key_name, spend: 0, models: [], created_at: new Date().toISOString() });
    for (const name of limits) row[name] = null;
    apply(row, { ...body, models: body.models ?? [] });
    rows.set(token, row);
  }

  app.post('/key/generate', (req, res) => {
    const refused = refusal(req.body);
    if (refused !== undefined) return envelope(res, ...refused);
    const secret = String(req.body.key ?? `sk-${randomBytes(16).toString('hex')}`);
    const token = sha256(secret);
    plant(secret, req.body);
    // A secret that was there keeps its row, and the answer shows what was sent.
    res.json({ ...req.body, key: secret, token, token_id: token, key_name: `sk-...${secret.slice(-4)}` });
  });

  app.post('/key/update', (req, res) => {
    const row = rowOf(req.body.key);
    if (row === undefined) return envelope(res, 404, 'not_found_error', 'Key not found.', 'key');
    const refused = refusal(req.body, row);
    if (refused !== undefined) return envelope(res, ...refused);
    if (req.body.models === null)
      return envelope(res, 400, 'invalid_request_error', 'Unable to match input value to any allowed input type');
    apply(row, req.body);
    res.json({ ...row, key: req.body.key });
  });

  app.get('/key/info', (req, res) => {
    const token = String(req.query.key);
    const row = rows.get(token);
    if (row === undefined || (row.status === 'deleted' && !isNew)) {
      return envelope(res, 404, 'not_found_error', 'Key not found in database', 'key');
    }
    res.json({ key: token, info: { ...shown(row), ...(isNew && { status: statusOf(row) }) } });
  });

  app.get('/key/list', (req, res) => {
    const { page = '1', size = '10', key_alias, user_id, team_id } = req.query;
    if (Number(size) > 100)
      return void res
        .status(422)
        .json({ detail: [{ type: 'less_than_equal', loc: ['query', 'size'], msg: 'at most 100' }] });
    const filters = Object.entries({ key_alias, user_id, team_id }).filter(([, value]) => value !== undefined);
    const found = [...rows.values()]
      .filter((row) => row.status === 'live' && filters.every(([name, value]) => row[name] === value))
      .sort((a, b) => (a.token < b.token ? -1 : 1));
    const from = (Number(page) - 1) * Number(size);
    res.json({
      keys: found.slice(from, from + Number(size)).map((row) => ({ ...shown(row), token: row.token })),
      total_count: found.length,
      current_page: Number(page),
      total_pages: Math.ceil(found.length / Number(size)),
    });
  });

  app.get('/key/aliases', (req, res) => {
    const { search = '', page = '1', size = '50' } = req.query;
    const found = [...rows.values()]
      .flatMap(({ status, key_alias }) => (status === 'live' && key_alias !== null ? [key_alias] : []))
      .filter((alias) => alias.toLowerCase().includes(String(search).toLowerCase()))
      .sort();
    const from = (Number(page) - 1) * Number(size);
    const aliases = found.slice(from, from + Number(size));
    const total_pages = Math.ceil(found.length / Number(size));
    res.json({ aliases, total_count: found.length, current_page: Number(page), total_pages, size: Number(size) });
  });

  for (const [path, blocked] of [
    ['/key/block', true],
    ['/key/unblock', false],
  ] as const) {
    app.post(path, (req, res) => {
      const row = rowOf(req.body.key);
      if (row === undefined) return envelope(res, 404, 'not_found_error', 'Key not found.', 'key');
      row.blocked = blocked;
      res.json({ ...shown(row), token: row.token });
    });
  }

  app.post('/key/delete', (req, res) => {
    const found = (req.body.keys as unknown[]).flatMap((key) => rowOf(key) ?? []);
    if (found.length === 0) return envelope(res, 404, 'invalid_request_error', "{'error': 'No keys found'}");
    for (const row of found) row.status = 'deleted';
    res.json({ deleted_keys: req.body.keys });
  });

  app.post('/team/new', (req, res) => {
    const { team_id } = req.body;
    if (teams.has(team_id)) return envelope(res, 400, 'bad_request_error', `Team id = ${team_id} already exists.`);
    teams.set(team_id, { team_alias: null, ...req.body, models: [], spend: 0, blocked: false });
    res.json(teams.get(team_id));
  });
  app.get('/team/info', (req, res) => {
    const team = teams.get(String(req.query.team_id));
    if (team === undefined) return envelope(res, 404, 'invalid_request_error', "{'message': 'Team not found.'}");
    res.json({ team_id: req.query.team_id, team_info: team, keys: [] });
  });
  app.post('/user/new', (req, res) => {
    const { user_id } = req.body;
    if (users.has(user_id)) return envelope(res, 409, 'auth_error', `User with id ${user_id} already exists`);
    users.set(user_id, { user_email: null, ...req.body, max_budget: null, spend: 0 });
    res.json(users.get(user_id));
  });
  app.get('/user/info', (req, res) => {
    const user = users.get(String(req.query.user_id));
    if (user === undefined) return envelope(res, 404, 'not_found_error', 'User not found');
    res.json({ user_id: req.query.user_id, user_info: user, keys: [], teams: [] });
  });
  app.get('/spend/logs/v2', (req, res) => {
    const page = spendLog.page(req.query);
    if (page === undefined) return envelope(res, 400, 'invalid_request_error', 'Invalid date format');
    res.json(page);
  });
  app.use((_req: Request, res: Response, _next: NextFunction) => void res.status(404).json({ detail: 'Not Found' }));

  const { url, close } = await listen(app);
  return {
    baseUrl: url,
    masterKey,
    isReal: false,
    generation,
    requests,
    writes,
    plant,
    goDown(next = true) {
      isDown = next;
    },
    fail: (path, ...told) => void faults.set(path, [...(faults.get(path) ?? []), ...told]),
    close,
  };
}

function shown({ token: _token, status: _status, ...columns }: Row): object {
  return columns;
}

function statusOf({ status, blocked, expires }: Row): string {
  if (status === 'deleted') return 'deleted';
  if (blocked) return 'revoked';
  return expires !== null && Date.parse(expires) <= Date.now() ? 'expired' : 'active';
}

function seconds(duration: string): number {
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[duration.slice(-1)] ?? Number.NaN;
  return Number(duration.slice(0, -1)) * unit;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
