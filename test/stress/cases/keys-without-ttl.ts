import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import type { ProcessFleet } from '../../support/fleet/fleet.ts';
import type { RedisAddress } from '../../support/fleet/store-address.ts';
import { callMany } from '../../support/fleet/worker.ts';

const holds = 10;

/**
 * The time of a TTL is the server's, which no test can move on. So that 25 hours change nothing, what is held must have no
 * TTL at all.
 */
export function keysWithoutTtlCases(fleet: ProcessFleet): void {
  it('leaves no open hold, no counter and no key to a TTL of Redis', async () => {
    const [one] = await fleet.openEmptyStore();
    const { key } = await one.keys.create({ name: 'Test', models: ['*'], rpmLimit: 100, maxBudget: 10 });
    const call = { keyId: key.id, model: 'gpt-4o', tokens: 10, costUsd: 0.1 };
    const calls = Array.from({ length: holds }, () => [call] as const);
    assert.ok((await callMany(one, 'admit', calls)).every(({ admitted }) => admitted));

    const names = await namesWithoutTtl(fleet.address() as RedisAddress);
    const count = (pattern: RegExp) => names.filter((name) => pattern.test(name)).length;
    assert.deepEqual(
      {
        holds: count(/\}:h:/),
        leases: count(/\}:leases$/),
        counters: count(/\}:s:/),
        records: count(new RegExp(`\\{records\\}.*${key.id}`)),
      },
      { holds, leases: 1, counters: 1, records: 1 },
    );
  });
}

async function namesWithoutTtl({ url, prefix }: RedisAddress): Promise<readonly string[]> {
  const client = new Redis(url);
  try {
    const names = await client.keys(`${prefix}*`);
    const ttls = await Promise.all(names.map((name) => client.pttl(name)));
    return names.filter((_, at) => ttls[at] === -1);
  } finally {
    client.disconnect();
  }
}
