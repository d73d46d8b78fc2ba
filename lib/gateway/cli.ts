#!/usr/bin/env node
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { StartError } from './environment.ts';
import { startGateway } from './start-gateway.ts';

const help = `Usage: express-llm-keys [--port <number>] [--host <address>]

Starts an OpenAI-compatible gateway with virtual keys, limits, budgets and an admin API.

Options
  --port     where to listen; over PORT                                   3000
  --host     the address to listen on; over HOST                     127.0.0.1
  --help     shows this
  --version  shows the version

Environment
  PORT, HOST                    as above
  ADMIN_TOKEN                   the bearer token of the admin API; required unless HOST is the loopback
  UPSTREAM_BASE_URL             where requests go, such as https://api.openai.com/v1; else the echo model answers
  UPSTREAM_API_KEY              the key for it
  VIRTUAL_KEY_PREFIX            what secrets begin with                 sk-llm
  VIRTUAL_KEY_DEFAULT_BUDGET    USD, for keys made without a maxBudget
  VIRTUAL_KEY_DEFAULT_TPM       tokens a minute, for keys made without a tpmLimit
  VIRTUAL_KEY_DEFAULT_RPM       requests a minute, for keys made without an rpmLimit
`;

interface Arguments {
  readonly port?: string | undefined;
  readonly host?: string | undefined;
  readonly help?: boolean | undefined;
  readonly version?: boolean | undefined;
}

function readArguments(): Arguments {
  try {
    return parseArgs({
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    }).values;
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The version of the package that this file is part of, wherever it was built to. */
function version(): string {
  return createRequire(import.meta.url)('express-llm-keys/package.json').version;
}

async function main(): Promise<void> {
  const { port = process.env.PORT, host = process.env.HOST, ...asked } = readArguments();
  if (asked.help === true || asked.version === true) {
    process.stdout.write(asked.help === true ? help : `${version()}\n`);
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
