import pg from 'pg';

/** A Postgres as it is seen from outside of a store. */
export interface PostgresActivity {
  /** Of a connection of its own, which may hold locks in a transaction. */
  query(sql: string, values?: readonly string[]): Promise<readonly { readonly count: number }[]>;
  /** How many connections are at a statement with this text, or were last, and meet the condition. */
  count(text: string, condition: "wait_event_type = 'Lock'" | "state = 'idle in transaction'"): Promise<number>;
  end(): Promise<void>;
}

export async function watchPostgres(url: string): Promise<PostgresActivity> {
  // Within a transaction the activity stays what it was when it was first looked at.
  const [locker, watcher] = [new pg.Client(url), new pg.Client(url)];
  await Promise.all([locker.connect(), watcher.connect()]);
  return {
    async query(sql, values) {
      return (await locker.query(sql, values && [...values])).rows;
    },
    async count(text, condition) {
      const { rows } = await watcher.query(
        `select count(*)::int from pg_stat_activity where pid <> pg_backend_pid() and position($1 in query) > 0 and ${condition}`,
        [text],
      );
      return rows[0].count;
    },
    async end() {
      await Promise.all([locker.end(), watcher.end()]);
    },
  };
}
