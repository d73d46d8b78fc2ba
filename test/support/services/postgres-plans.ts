import type { Client } from 'pg';
import { createPostgresSchema, type PostgresSchema } from './postgres-schema.ts';

/** Tables of one test file, and how the database goes about what it is asked of them. */
export interface PlannedSchema extends PostgresSchema {
  /** Statements that the work sends, but for those around them, such as `begin`. */
  asked(work: () => Promise<unknown>): Promise<readonly Asked[]>;
  /** The plans of these statements, as `explain` tells them now. */
  plansOf(work: () => Promise<unknown>): Promise<readonly string[]>;
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

  return {
    ...tables,
    asked: askedBy,
    async plansOf(work) {
      const plans: string[] = [];
      for (const statement of await askedBy(work)) plans.push(await explain(statement));
      return plans;
    },
  };
}
