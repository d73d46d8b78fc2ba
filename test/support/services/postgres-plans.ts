import type { Client } from 'pg';
import { createPostgresSchema, type PostgresSchema } from './postgres-schema.ts';

/** Tables of one test file, and how the database goes about what it is asked of them. */
export interface PlannedSchema extends PostgresSchema {
  /** Statements that the work sends, but for those around them, such as `begin`. */
  asked(work: () => Promise<unknown>): Promise<readonly Asked[]>;
  /** The plans of these statements, as `explain` tells them now. */
  plansOf(work: () => Promise<unknown>): Promise<readonly string[]>;
  /** The same, and how long the work takes the first time and once its pages are in memory, each with its connections made. */
  measure(work: () => Promise<unknown>): Promise<Measured>;
}

export interface Measured {
  readonly plans: readonly string[];
  /** By which indexes, and how long it took: as it may stand in a title. */
  readonly summary: string;
}

export interface Asked {
  readonly sql: string;
  readonly values: readonly unknown[];
}

export async function createPlannedSchema(): Promise<PlannedSchema> {
  let asked: Asked[] = [];

  /** Notes what a connection of the pool is asked. */
  function record(client: Client, done: (error: Error | null, client: Client) => void): void {
    const query = client.query.bind(client);
    Object.assign(client, {
      query(sql: unknown, values?: unknown, ...others: readonly unknown[]) {
        const isPlanned = typeof sql === 'string' && /^(select|with|delete)\b/.test(sql);
        if (isPlanned) asked.push({ sql, values: Array.isArray(values) ? values : [] });
        return Reflect.apply(query, client, [sql, values, ...others]);
      },
    });
    done(null, client);
  }

  const tables = await createPostgresSchema({ pool: { min: 0, max: 10, afterCreate: record } });

  async function explain({ sql, values }: Asked): Promise<string> {
    const client: Client = await tables.knex.client.acquireConnection();
    try {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${sql}`, [...values]);
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    } finally {
      await tables.knex.client.releaseConnection(client);
    }
  }

  async function askedBy(work: () => Promise<unknown>): Promise<readonly Asked[]> {
    asked = [];
    await work();
    return [...asked];
  }

  async function plansOf(work: () => Promise<unknown>): Promise<readonly string[]> {
    const plans: string[] = [];
    for (const statement of await askedBy(work)) plans.push(await explain(statement));
    return plans;
  }

  return {
    ...tables,
    asked: askedBy,
    plansOf,
    async measure(work) {
      const [firstMs, againMs] = [await durationMs(work), await durationMs(work)];
      const plans = await plansOf(work);
      const used = plans.flatMap((plan) => [
        ...plan.matchAll(/Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)/g),
      ]);
      const indexes = [...new Set(used.map(([, index]) => index))];
      return { plans, summary: `${indexes.join(', ')}; ${firstMs} ms, ${againMs} ms again` };
    },
  };
}

async function durationMs(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return Math.round(performance.now() - beganMs);
}
