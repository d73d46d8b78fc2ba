import type { PostgresSchema } from './postgres-schema.ts';

interface Statements {
  readonly drop: string;
  readonly create: string;
}

/** Indexes and constraints of a schema: what refers to others goes first and comes last. */
const constraintsAndIndexes = `
select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
  format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as create,
  case contype when 'f' then 0 else 1 end as position
from pg_constraint where connamespace = current_schema()::regnamespace and contype in ('f', 'p', 'u')
union all
select format('drop index %I', indexname), indexdef, 2 from pg_indexes
where schemaname = current_schema() and indexname not in (select conname from pg_constraint)
order by position, 1`;

/** A vacuum that the server thinks of by itself, in the middle of a test's own, leaves that one half done. */
const calm = `
select format('alter table %I set (autovacuum_enabled = off)', tablename) as statement
from pg_tables where schemaname = current_schema()`;

/**
 * Fills the tables of a schema while they have neither indexes nor keys, which are made afterwards: with millions of rows
 * that takes a fraction of the time.
 */
export async function fillBareTables({ run }: Pick<PostgresSchema, 'run'>, fill: string): Promise<void> {
  const bared = await run<Statements>(constraintsAndIndexes);
  const calming = await run<{ readonly statement: string }>(calm);
  await run(
    [
      "set local maintenance_work_mem = '512MB'",
      "set local work_mem = '256MB'",
      // Else their commit is not known to have reached the disk, and not to be visible to all.
      'set local synchronous_commit to on',
      ...calming.map(({ statement }) => statement),
      ...bared.map(({ drop }) => drop),
      fill,
      ...bared.map(({ create }) => create).toReversed(),
    ].join(';\n'),
  );
}
