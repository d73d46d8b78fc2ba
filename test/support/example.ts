import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { ShownUsageEvent } from '../../lib/keys/events.ts';
import { eventually } from './eventually.ts';
import { listen } from './listen.ts';

/** An app that was started as its reader would start it. */
export interface RunningExample {
  readonly url: string;
  /** The virtual key that it has printed; empty where there is none. */
  readonly secret: string;
  post(path: string, body: object, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** The first usage events that it has printed, once there are so many. */
  charges(count: number): Promise<readonly ShownUsageEvent[]>;
  stop(): Promise<void>;
}

export interface ExampleOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs one of the files in `examples` with TypeScript, on an upstream of its own. */
export async function startExample(
  file: string,
  upstreamModel: RequestListener,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningExample> {
  return startApp(['--import', 'tsx', `examples/${file}`], upstreamModel, { env });
}

/** Runs an app by Node's arguments, on a port of its own. */
export async function startApp(
  args: readonly string[],
  upstreamModel: RequestListener,
  { env, cwd }: ExampleOptions = {},
): Promise<RunningExample> {
  const upstream = await listen(upstreamModel);
  const port = await freePort();
  const app = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...providerEnvironment(upstream.url), ...env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const output = createInterface({ input: app.stdout }).on('line', (line) => lines.push(line));
  await Promise.race([once(output, 'line'), once(app, 'exit')]);

  async function stop(): Promise<void> {
    await upstream.close();
    if (app.exitCode !== null) return;
    app.kill();
    await once(app, 'exit');
  }

  function charges(): ShownUsageEvent[] {
    const prefix = 'charged ';
    return lines
      .filter((line) => line.startsWith(prefix))
      .map((line) => JSON.parse(line.slice(prefix.length)) as ShownUsageEvent);
  }

  const [greeting] = lines;
  if (greeting === undefined) {
    await stop();
    throw new Error(`${args.at(-1)} ended without a word`);
  }
  const url = `http://127.0.0.1:${port}`;
  const secret = /sk-llm-\w{49}/.exec(greeting)?.[0] ?? '';

  return {
    url,
    secret,
    post: (path, body, headers) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    async charges(count) {
      await eventually(() => charges().length >= count, `Charge ${count}`);
      return charges();
    },
    stop,
  };
}

/** Where the examples find their provider. */
function providerEnvironment(url: string) {
  return {
    OPENAI_BASE_URL: `${url}/v1`,
    OPENAI_API_KEY: 'of-the-provider',
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_API_KEY: 'of-the-provider',
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('The server has no port');
  return address.port;
}
