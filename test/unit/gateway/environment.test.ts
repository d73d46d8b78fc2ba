import assert from 'node:assert/strict';
import { readEnvironment, StartError } from '../../../lib/gateway/environment.ts';

describe('readEnvironment', () => {
  it('needs nothing', () => {
    assert.deepEqual(readEnvironment({}), {
      port: 3000,
      host: '127.0.0.1',
      adminToken: null,
      upstream: null,
      redisUrl: null,
      databaseUrl: null,
      redisPrefix: undefined,
      databaseSchema: undefined,
      litellm: null,
      secretPrefix: undefined,
      keyDefaults: {},
    });
  });

  it('reads every variable', () => {
    const settings = readEnvironment({
      PORT: '8080',
      HOST: '0.0.0.0',
      ADMIN_TOKEN: 'token',
      UPSTREAM_BASE_URL: 'https://api.openai.com/v1',
      UPSTREAM_API_KEY: 'sk-upstream',
      REDIS_URL: 'rediss://me:pw@host:6380/1',
      DATABASE_URL: 'postgresql://host/keys?sslmode=require',
      REDIS_PREFIX: 'acme:',
      DATABASE_SCHEMA: 'acme',
      LITELLM_BASE_URL: 'http://litellm:4000/proxy',
      LITELLM_MASTER_KEY: 'sk-master',
      LITELLM_DEPLOYMENT_ID: 'production',
      LITELLM_VAULT_KEY: 'a'.repeat(64),
      VIRTUAL_KEY_PREFIX: 'sk-acme',
      VIRTUAL_KEY_DEFAULT_BUDGET: '12.5',
      VIRTUAL_KEY_DEFAULT_TPM: '90000',
      VIRTUAL_KEY_DEFAULT_RPM: '0',
    });
    assert.deepEqual(settings, {
      port: 8080,
      host: '0.0.0.0',
      adminToken: 'token',
      upstream: { baseUrl: new URL('https://api.openai.com/v1'), apiKey: 'sk-upstream' },
      redisUrl: 'rediss://me:pw@host:6380/1',
      databaseUrl: 'postgresql://host/keys?sslmode=require',
      redisPrefix: 'acme:',
      databaseSchema: 'acme',
      litellm: {
        baseUrl: 'http://litellm:4000/proxy',
        masterKey: 'sk-master',
        deploymentId: 'production',
        vaultKey: 'a'.repeat(64),
      },
      secretPrefix: 'sk-acme',
      keyDefaults: { maxBudget: 12.5, tpmLimit: 90_000, rpmLimit: 0 },
    });
  });

  it('takes an empty variable for none', () => {
    const empty = { PORT: '', ADMIN_TOKEN: ' ', REDIS_URL: '', UPSTREAM_API_KEY: '', VIRTUAL_KEY_DEFAULT_RPM: '' };
    assert.deepEqual(readEnvironment(empty), readEnvironment({}));
  });

  for (const host of ['localhost', '::1', '127.0.0.2']) {
    it(`makes an admin token itself on ${host}`, () => {
      assert.equal(readEnvironment({ HOST: host }).adminToken, null);
    });
  }

  for (const [env, ...messages] of [
    [{ PORT: '65536' }, 'PORT must be a whole number from 0 to 65535'],
    [{ PORT: '80a' }, 'PORT must be a whole number from 0 to 65535'],
    [{ HOST: '::' }, 'ADMIN_TOKEN must be set when HOST is ::: others can reach it'],
    [
      { HOST: '127.0.0.1.example.com' },
      'ADMIN_TOKEN must be set when HOST is 127.0.0.1.example.com: others can reach it',
    ],
    [{ ADMIN_TOKEN: 'two words' }, 'ADMIN_TOKEN must be printable characters without spaces'],
    [{ REDIS_URL: 'host:6379', ADMIN_TOKEN: 't' }, 'REDIS_URL must be a redis or rediss URL'],
    [{ DATABASE_URL: 'mysql://u:secret@host', ADMIN_TOKEN: 't' }, 'DATABASE_URL must be a postgres or postgresql URL'],
    ...[{ REDIS_URL: 'redis://host' }, { DATABASE_URL: 'postgres://host' }].map(
      (env) => [env, 'ADMIN_TOKEN must be set when keys outlive the gateway, in REDIS_URL or DATABASE_URL'] as const,
    ),
    [
      { LITELLM_BASE_URL: 'http://u:secret@h', LITELLM_MASTER_KEY: 'x y' },
      'LITELLM_BASE_URL must be an http or https URL without credentials or query',
      'LITELLM_MASTER_KEY must be printable characters without spaces',
    ],
    ...[{ LITELLM_BASE_URL: 'http://host' }, { LITELLM_MASTER_KEY: 'sk-x' }, { LITELLM_DEPLOYMENT_ID: 'a' }].map(
      (env) => [env, 'LITELLM_BASE_URL and LITELLM_MASTER_KEY are needed together'] as const,
    ),
    [
      { LITELLM_BASE_URL: 'http://host', LITELLM_MASTER_KEY: 'sk-x', LITELLM_VAULT_KEY: 'short' },
      'LITELLM_VAULT_KEY must be 32 bytes in hex or base64',
    ],
    [{ UPSTREAM_API_KEY: 'sk-x' }, 'UPSTREAM_API_KEY needs UPSTREAM_BASE_URL'],
    ...['ftp://host', 'api.openai.com/v1', 'https://me:pw@host', 'https://host/?key=1'].map(
      (url) =>
        [
          { UPSTREAM_BASE_URL: url },
          'UPSTREAM_BASE_URL must be an http or https URL without credentials or query',
        ] as const,
    ),
    [{ VIRTUAL_KEY_PREFIX: 'sk llm' }, 'VIRTUAL_KEY_PREFIX must be 1 to 32 characters of A-Z a-z 0-9 _ -'],
    ...['-1', '1e309', 'NaN', '9000001', '1,5'].map(
      (amount) =>
        [{ VIRTUAL_KEY_DEFAULT_BUDGET: amount }, 'VIRTUAL_KEY_DEFAULT_BUDGET must be USD from 0 to 9000000'] as const,
    ),
    [{ REDIS_PREFIX: 'a{b}' }, 'REDIS_PREFIX must be printable characters without spaces and braces'],
    [
      { VIRTUAL_KEY_DEFAULT_RMP: '5' },
      'VIRTUAL_KEY_DEFAULT_RMP is unknown; there are VIRTUAL_KEY_PREFIX, VIRTUAL_KEY_DEFAULT_BUDGET, VIRTUAL_KEY_DEFAULT_TPM, VIRTUAL_KEY_DEFAULT_RPM',
    ],
    [{ VIRTUAL_KEY_DEFAULT_TPM: '1.5' }, 'VIRTUAL_KEY_DEFAULT_TPM must be a whole number of tokens'],
    [
      { PORT: 'x', VIRTUAL_KEY_DEFAULT_RPM: '-1' },
      'PORT must be a whole number from 0 to 65535',
      'VIRTUAL_KEY_DEFAULT_RPM must be a whole number of requests',
    ],
  ] as const) {
    it(`stops the start for ${JSON.stringify(env)}`, () => {
      assert.throws(() => readEnvironment(env), new StartError(messages.join('\n')));
    });
  }
});
