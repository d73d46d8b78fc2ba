import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Running {
  readonly process: ChildProcessWithoutNullStreams;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Its exit code, once it has ended, or the signal that has ended it. */
  readonly exit: Promise<number | string>;
}

describe('The gateway as a process', function () {
  // Each process compiles its sources first.
  this.timeout(30_000);
  const started: ChildProcessWithoutNullStreams[] = [];

  function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
    const { PATH, HOME } = process.env;
    const child = spawn(command, args, { cwd: root, env: { PATH, HOME, ...env } });
    started.push(child);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const exit = once(child, 'close').then(([code, signal]): number | string => code ?? signal);
    return { process: child, stdout: () => stdout, stderr: () => stderr, exit };
  }

  function cli(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Running {
    return run(process.execPath, ['--import', 'tsx', 'lib/gateway/cli.ts', ...args], env);
  }

  /** What it prints, once it listens. */
  async function listening({ process, stdout, stderr, exit }: Running): Promise<string> {
    const ended = exit.then(() => assert.fail(`It has ended: ${stderr()}`));
    while (!stdout().includes('/api-keys/me')) await Promise.race([once(process.stdout, 'data'), ended]);
    // That it ends later is no failure.
    ended.catch(() => undefined);
    return stdout();
  }

  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL');
  });

  it('prints commands that make a key, use it, and tell what it has spent', async () => {
    const gateway = cli(['--port', '0']);
    const text = await listening(gateway);
    assert.match(text, /kept in memory: when it stops, all of them are forgotten/);
    const commands = text.split('\n').filter((line) => line.startsWith('curl '));
    assert.equal(commands.length, 3);
    const [make = '', use = '', tell = ''] = commands;

    const { secret } = (await (await curl(make)).json()) as { secret: string };
    const answer = await (await curl(use, secret)).text();
    assert.match(answer, /"content":"Hello,".*"content":" world".*data: \[DONE\]\n\n$/s);
    const { spend } = (await (await curl(tell, secret)).json()) as { spend: number };
    assert.equal(spend, 0.000006);
    assert.ok(!gateway.stdout().includes(secret));
  });

  it('finishes a stream when npm start is told to end, and exits with 0', async () => {
    const gateway = run('npm', ['start', '--silent'], { PORT: '0', ADMIN_TOKEN: 'token' });
    const text = await listening(gateway);
    assert.ok(text.includes('Bearer $ADMIN_TOKEN') && !text.includes('Bearer token'));
    const [make = '', use = ''] = text.split('\n').filter((line) => line.startsWith('curl '));
    const { secret } = (await (await curl(make.replace('$ADMIN_TOKEN', 'token'))).json()) as { secret: string };
    const response = await curl(use, secret, { 'x-echo-behaviour': '{"chunkDelayMs":100}' });
    gateway.process.kill('SIGTERM');
    assert.match(await response.text(), /data: \[DONE\]\n\n$/);
    assert.equal(await gateway.exit, 0);
    assert.match(gateway.stdout(), /SIGTERM: running answers are finished first\n$/);
  });

  for (const [what, env, message] of [
    [
      'a variable that it cannot honour',
      { LITELLM_BASE_URL: 'http://u:secret@h' },
      /^express-llm-keys: LITELLM_BASE_URL must/,
    ],
    [
      'an address that others can reach, without an admin token',
      { HOST: '0.0.0.0' },
      /^express-llm-keys: ADMIN_TOKEN must/,
    ],
  ] as const) {
    it(`does not start with ${what}`, async () => {
      const gateway = cli([], { PORT: '0', ...env });
      assert.equal(await gateway.exit, 1);
      assert.match(gateway.stderr(), message);
      assert.equal(gateway.stderr().trim().split('\n').length, 1);
      assert.ok(!gateway.stderr().includes('secret'));
      assert.equal(gateway.stdout(), '');
    });
  }

  it('says so in one line when its port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const gateway = cli(['--port', port]);
    const code = await gateway.exit;
    other.close();
    assert.equal(code, 1);
    assert.equal(
      gateway.stderr(),
      `express-llm-keys: PORT ${port} is in use on 127.0.0.1: stop what listens there, or set another one\n`,
    );
  });

  it('shows its help and its version, and refuses arguments that it does not know', async () => {
    const [help, version, unknown] = [cli(['--help']), cli(['--version']), cli(['--prot', '1'])];
    assert.deepEqual(await Promise.all([help.exit, version.exit, unknown.exit]), [0, 0, 1]);
    assert.match(help.stdout(), /^Usage: express-llm-keys .*UPSTREAM_BASE_URL/s);
    assert.equal(version.stdout(), `${JSON.parse(readFileSync(`${root}package.json`, 'utf8')).version}\n`);
    assert.match(unknown.stderr(), /^express-llm-keys: Unknown option '--prot'/);
  });
});

/** Does what a printed command line does, with the secret that it asks for. */
function curl(line: string, secret = '', headers: { [name: string]: string } = {}): Promise<Response> {
  const words = [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, raw, quoted, plain]) => raw ?? (quoted ?? plain ?? '').replace('$SECRET', secret),
  );
  const { values, positionals } = parseArgs({
    args: words.slice(1),
    allowPositionals: true,
    options: {
      header: { type: 'string', short: 'H', multiple: true },
      data: { type: 'string', short: 'd' },
      silent: { type: 'boolean', short: 's' },
      'no-buffer': { type: 'boolean', short: 'N' },
    },
  });
  const told = (values.header ?? []).map((header) => header.split(': ') as [string, string]);
  const { data } = values;
  return fetch(positionals[0] ?? '', {
    headers: { ...Object.fromEntries(told), ...headers },
    ...(data !== undefined && { method: 'POST', body: data }),
  });
}
