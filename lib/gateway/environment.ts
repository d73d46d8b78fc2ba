/** The settings of the gateway, read from environment variables and checked. */
export interface GatewaySettings {
  readonly port: number;
  readonly host: string;
  /** `null`: one is to be made for this run. */
  readonly adminToken: string | null;
  /** `null`: the echo model answers. */
  readonly upstream: Upstream | null;
  /** With a database, only counters are kept in Redis. `null`: none; without either, all is kept in memory. */
  readonly redisUrl: string | null;
  readonly databaseUrl: string | null;
  /** Where in them; `undefined`: where the stores keep things by default. */
  readonly redisPrefix: string | undefined;
  readonly databaseSchema: string | undefined;
  /** `null`: keys are not mirrored. */
  readonly litellm: LiteLLMSettings | null;
  readonly secretPrefix: string | undefined;
  /** What a new key gets where its input says nothing. */
  readonly keyDefaults: { readonly maxBudget?: number; readonly tpmLimit?: number; readonly rpmLimit?: number };
}

export interface LiteLLMSettings {
  readonly baseUrl: string;
  readonly masterKey: string;
  readonly deploymentId: string | undefined;
  /** 32 bytes in hex or base64, under which secrets wait while LiteLLM is down; absent: keys are refused then. */
  readonly vaultKey: string | undefined;
}

export interface Upstream {
  readonly baseUrl: URL;
  readonly apiKey: string | undefined;
}

export type Environment = { readonly [variable: string]: string | undefined };

/** The gateway cannot start as it is told to. The message names what to change. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

const maxBudgetUsd = 9_000_000;

/**
 * Reads the environment; an empty variable is as none.
 *
 * @throws StartError naming every variable that cannot be honoured
 */
export function readEnvironment(env: Environment): GatewaySettings {
  const problems: string[] = [];

  const read: Read = (variable, rule, parse) => {
    const text = env[variable]?.trim() ?? '';
    if (text === '') return undefined;
    const value = parse(text);
    if (value === undefined) problems.push(`${variable} must be ${rule}`);
    return value;
  };

  const port = read('PORT', 'a whole number from 0 to 65535', wholeNumber(65_535)) ?? 3000;
  const host = read('HOST', 'the address or name to listen on', matching(/^[\w.:-]+$/)) ?? '127.0.0.1';
  const adminToken = read('ADMIN_TOKEN', 'printable characters without spaces', matching(/^[\x21-\x7e]+$/)) ?? null;
  const baseUrl = read('UPSTREAM_BASE_URL', 'an http or https URL without credentials or query', upstreamUrl);
  const apiKey = read('UPSTREAM_API_KEY', 'printable characters without spaces', matching(/^[\x21-\x7e]+$/));
  const redisUrl = read('REDIS_URL', 'a redis or rediss URL', serviceUrl('redis:', 'rediss:')) ?? null;
  const databaseUrl =
    read('DATABASE_URL', 'a postgres or postgresql URL', serviceUrl('postgres:', 'postgresql:')) ?? null;
  const redisPrefix = read('REDIS_PREFIX', 'printable characters without spaces and braces', matching(/^[^\s{}]+$/));
  const databaseSchema = read('DATABASE_SCHEMA', 'the name of a schema', matching(/^\S{1,63}$/));
  const secretPrefix = read('VIRTUAL_KEY_PREFIX', '1 to 32 characters of A-Z a-z 0-9 _ -', matching(/^[\w-]{1,32}$/));
  const litellm = readLiteLLM(read, problems);
  const maxBudget = read('VIRTUAL_KEY_DEFAULT_BUDGET', `USD from 0 to ${maxBudgetUsd}`, amount(maxBudgetUsd));
  const tpmLimit = read('VIRTUAL_KEY_DEFAULT_TPM', 'a whole number of tokens', wholeNumber());
  const rpmLimit = read('VIRTUAL_KEY_DEFAULT_RPM', 'a whole number of requests', wholeNumber());

  problems.push(...unknownVariables(env));
  if (apiKey !== undefined && baseUrl === undefined) problems.push('UPSTREAM_API_KEY needs UPSTREAM_BASE_URL');
  if (adminToken === null && !isLoopback(host)) {
    problems.push(`ADMIN_TOKEN must be set when HOST is ${host}: others can reach it`);
  }
  if (adminToken === null && (redisUrl ?? databaseUrl) !== null) {
    problems.push('ADMIN_TOKEN must be set when keys outlive the gateway, in REDIS_URL or DATABASE_URL');
  }
  if (problems.length > 0) throw new StartError([...new Set(problems)].join('\n'));

  return {
    port,
    host,
    adminToken,
    upstream: baseUrl === undefined ? null : { baseUrl, apiKey },
    redisUrl,
    databaseUrl,
    redisPrefix,
    databaseSchema,
    litellm,
    secretPrefix,
    keyDefaults: {
      ...(maxBudget !== undefined && { maxBudget }),
      ...(tpmLimit !== undefined && { tpmLimit }),
      ...(rpmLimit !== undefined && { rpmLimit }),
    },
  };
}

const ownPrefix = 'VIRTUAL_KEY_';
const ownNames = ['PREFIX', 'DEFAULT_BUDGET', 'DEFAULT_TPM', 'DEFAULT_RPM'].map((name) => ownPrefix + name);

/** A default limit whose name is mistyped would be none at all. */
function unknownVariables(env: Environment): readonly string[] {
  const unknown = Object.keys(env).filter((name) => name.startsWith(ownPrefix) && !ownNames.includes(name));
  return unknown.map((name) => `${name} is unknown; there are ${ownNames.join(', ')}`);
}

/** The value of a variable as `parse` reads it; what it cannot read is a problem. */
type Read = <T>(variable: string, rule: string, parse: (text: string) => T | undefined) => T | undefined;

function readLiteLLM(read: Read, problems: string[]): LiteLLMSettings | null {
  const plain = 'printable characters without spaces';
  const baseUrl = read('LITELLM_BASE_URL', 'an http or https URL without credentials or query', upstreamUrl);
  const masterKey = read('LITELLM_MASTER_KEY', plain, matching(/^[\x21-\x7e]+$/));
  const deploymentId = read('LITELLM_DEPLOYMENT_ID', `up to 64 ${plain}`, matching(/^[\x21-\x7e]{1,64}$/));
  const vaultKey = read('LITELLM_VAULT_KEY', '32 bytes in hex or base64', matching(/^([0-9a-f]{64}|[\w+/-]{43}=?)$/i));
  if (baseUrl !== undefined && masterKey !== undefined) {
    return { baseUrl: baseUrl.href, masterKey, deploymentId, vaultKey };
  }
  const isHalf = [baseUrl, masterKey, deploymentId, vaultKey].some((value) => value !== undefined);
  if (isHalf) problems.push('LITELLM_BASE_URL and LITELLM_MASTER_KEY are needed together');
  return null;
}

function matching(shape: RegExp): (text: string) => string | undefined {
  return (text) => (shape.test(text) ? text : undefined);
}

function wholeNumber(most = Number.MAX_SAFE_INTEGER): (text: string) => number | undefined {
  return (text) => (/^\d+$/.test(text) && Number(text) <= most ? Number(text) : undefined);
}

function amount(most: number): (text: string) => number | undefined {
  return (text) => (/^\d+(\.\d+)?$/.test(text) && Number(text) <= most ? Number(text) : undefined);
}

function upstreamUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return isPlain && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined;
}

function serviceUrl(...protocols: readonly string[]): (text: string) => string | undefined {
  return (text) => (URL.canParse(text) && protocols.includes(new URL(text).protocol) ? text : undefined);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
