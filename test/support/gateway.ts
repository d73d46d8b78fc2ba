import type { Environment } from '../../lib/gateway/environment.ts';
import { startGateway } from '../../lib/gateway/start-gateway.ts';
import type { KeyInput } from '../../lib/keys/key-input.ts';
import type { Balance } from '../../lib/keys/virtual-keys.ts';
import { eventually } from './eventually.ts';

export interface TestGateway {
  readonly url: string;
  readonly adminToken: string;
  /** What the operator was told. */
  readonly output: () => string;
  /** A call of the admin API. */
  admin(path: string, init?: RequestInit): Promise<Response>;
  /** A key for every model, with the fields that matter to the test. */
  createKey(fields?: Partial<KeyInput>): Promise<{ readonly id: string; readonly secret: string }>;
  /** What a key tells of itself, once no call of it is running. */
  settledBalance(secret: string): Promise<Balance>;
  close(): Promise<void>;
}

/** The gateway in this process, on a port of its own. */
export async function testGateway(env: Environment = {}, options: { graceMs?: number } = {}): Promise<TestGateway> {
  let output = '';
  const write = (text: string) => {
    output += text;
  };
  const gateway = await startGateway({ PORT: '0', ...env }, { write, ...options });
  const { url, adminToken } = gateway;

  function admin(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
    return fetch(`${url}/api-keys${path}`, { ...init, headers });
  }

  async function balance(secret: string): Promise<Balance> {
    const response = await fetch(`${url}/api-keys/me`, { headers: { authorization: `Bearer ${secret}` } });
    return (await response.json()) as Balance;
  }

  return {
    url,
    adminToken,
    output: () => output,
    admin,
    async createKey(fields = {}) {
      const body = JSON.stringify({ name: 'Test', models: ['*'], ...fields });
      const created = (await (await admin('', { method: 'POST', body })).json()) as {
        key: { id: string };
        secret: string;
      };
      return { id: created.key.id, secret: created.secret };
    },
    async settledBalance(secret) {
      await eventually(async () => (await balance(secret)).openRequests === 0, 'The end of every call');
      return balance(secret);
    },
    close: gateway.close,
  };
}
