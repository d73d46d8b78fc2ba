// Several processes that share keys, limits and budgets in Postgres: start this as often as you like, also at once.
import express from 'express';
import { createVirtualKeys, llmGuard, priceBook } from 'express-llm-keys';
import { migrate, postgresStore } from 'express-llm-keys/postgres';
import { createEchoModel } from 'express-llm-keys/testing';
import knexFactory from 'knex';

const schema = process.env.DATABASE_SCHEMA ?? 'llm_keys';
const knex = knexFactory({
  client: 'pg',
  connection: process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  // A caller waits for its answer: the default of a minute is longer than any of them does.
  acquireConnectionTimeout: 1000,
  pool: { min: 0, max: 10 },
});
await migrate(knex, { schema });

const store = postgresStore({ knex, schema });
const keys = createVirtualKeys({
  store,
  prices: priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } }),
});
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));

const { secret } = await keys.create({ name: 'Production', models: ['gpt-4o*'], rpmLimit: 60 });

const app = express();
app.use('/v1', llmGuard({ keys }), createEchoModel());
const server = app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`The secret is shown this once, and good in every process: ${secret}`);
});

process.once('SIGTERM', () => {
  server.close(async () => {
    await keys.close();
    await store.close();
    await knex.destroy();
  });
});
