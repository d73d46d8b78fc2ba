#!/usr/bin/env node
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { StartError } from './environment.ts';
import { migratePostgres } from './postgres-half.ts';
import { startGateway } from './start-gateway.ts';

const help = `Usage: express-llm-keys [--port <number>] [--host <address>]
       express-llm-keys migrate
       express-llm-keys litellm status|sync|reconcile|import|spend [--dry-run] [--policy ours|theirs|report]

Starts an OpenAI-compatible gateway with virtual keys, limits, budgets and an admin API.
migrate brings the tables in DATABASE_URL to what this version needs, and ends.
litellm works on the twins of the keys in LiteLLM, prints what it found as JSON, and ends:
  status     counts keys by the state of their twins
  sync       brings what waits to LiteLLM, and waits for it
  reconcile  compares every key with its twin, and mends what differs; --policy says which side is right
  import     takes over the keys of LiteLLM that are nobody's
  spend      brings what was spent by calls straight to LiteLLM into the usage record

Options
  --port     where to listen; over PORT                                   3000
  --host     the address to listen on; over HOST                     127.0.0.1
  --dry-run  sync, reconcile and import: changes nothing
  --policy   reconcile: ours (the default), theirs or report
  --help     shows this
  --version  shows the version

Environment
  PORT, HOST                    as above
  ADMIN_TOKEN                   the bearer token of the admin API; required unless HOST is the loopback
                                and everything is kept in memory
  DATABASE_URL                  keeps everything in Postgres; needs the packages knex and pg
  REDIS_URL                     keeps everything in Redis, or with DATABASE_URL what is counted;
                                needs the package ioredis
  DATABASE_SCHEMA, REDIS_PREFIX where in them                       llm_keys, llm-keys:
  UPSTREAM_BASE_URL             where requests go, such as https://api.openai.com/v1; else the echo model answers
  UPSTREAM_API_KEY              the key for it
  LITELLM_BASE_URL, LITELLM_MASTER_KEY
                                mirrors every key to this LiteLLM proxy
  LITELLM_DEPLOYMENT_ID         tells its keys from those of other deployments; another one for each database
  LITELLM_VAULT_KEY             32 bytes in hex or base64: new secrets wait under it while LiteLLM is down
  VIRTUAL_KEY_PREFIX            what secrets begin with                 sk-llm
  VIRTUAL_KEY_DEFAULT_BUDGET    USD, for keys made without a maxBudget
  VIRTUAL_KEY_DEFAULT_TPM       tokens a minute, for keys made without a tpmLimit
  VIRTUAL_KEY_DEFAULT_RPM       requests a minute, for keys made without an rpmLimit
`;

interface Arguments {
  readonly command: string | undefined;
  readonly subcommand: string | undefined;
  readonly 'dry-run'?: boolean | undefined;
  readonly policy?: string | undefined;
  readonly port?: string | undefined;
  readonly host?: string | undefined;
  readonly help?: boolean | undefined;
  readonly version?: boolean | undefined;
}

function readArguments(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
        'dry-run': { type: 'boolean' },
        policy: { type: 'string' },
      },
    });
    const [command, subcommand, ...extra] = positionals;
    const isKnown = command === undefined || command === 'migrate' || command === 'litellm';
    if (!isKnown || extra.length > 0 || (subcommand !== undefined && command !== 'litellm')) {
      throw new StartError(`There is no command "${positionals.join(' ')}"; there are migrate and litellm`);
    }
    return { ...values, command, subcommand };
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The version of the package that this file is part of, wherever it was built to. */
function version(): string {
  return createRequire(import.meta.url)('express-llm-keys/package.json').version;
}

async function runMigrations(): Promise<void> {
  const { DATABASE_URL: databaseUrl = '', DATABASE_SCHEMA: schema } = process.env;
  if (databaseUrl.trim() === '') throw new StartError('DATABASE_URL must be set: it says where the tables are');
  const applied = await migratePostgres(databaseUrl.trim(), schema?.trim() || undefined);
  process.stdout.write(applied.length === 0 ? 'Nothing to do\n' : `Applied ${applied.join(', ')}\n`);
}

async function runLiteLLM({ subcommand, policy, 'dry-run': isDryRun = false }: Arguments): Promise<void> {
  const { runLiteLLMCommand } = await import('./litellm-command.ts');
  await runLiteLLMCommand({ command: subcommand, policy, isDryRun }, process.env, {
    write: (text) => process.stdout.write(text),
    warn: (text) => process.stderr.write(`${text}\n`),
  });
}

async function main(): Promise<void> {
  const { port = process.env.PORT, host = process.env.HOST, ...asked } = readArguments();
  if (asked.help === true || asked.version === true) {
    process.stdout.write(asked.help === true ? help : `${version()}\n`);
    return;
  }
  if (asked.command === 'migrate') {
    await runMigrations();
    return;
  }
  if (asked.command === 'litellm') {
    await runLiteLLM(asked);
    return;
  }
  const gateway = await startGateway(
    { ...process.env, PORT: port, HOST: host },
    { write: (text) => process.stdout.write(text) },
  );

  function stop(signal: NodeJS.Signals): void {
    // A second signal ends the process at once, as it does by default.
    process.stdout.write(`${signal}: running answers are finished first\n`);
    gateway.close().catch(fail);
  }
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function fail(error: unknown): void {
  const text = error instanceof StartError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`express-llm-keys: ${text}\n`);
  process.exitCode = 1;
}

main().catch(fail);
