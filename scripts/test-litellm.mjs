// Runs the tests of test/litellm against a real proxy: the one of LITELLM_BASE_URL and LITELLM_MASTER_KEY, else one that
// the script of LITELLM_RIG starts, which prints `{"baseUrl", "masterKey", …}` as its first line and ends on SIGTERM.
// What follows the script's name goes to mocha.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

const { LITELLM_BASE_URL, LITELLM_MASTER_KEY, LITELLM_RIG = '../shared/litellm-rig/start.sh' } = process.env;

const proxy = LITELLM_BASE_URL && LITELLM_MASTER_KEY ? runningProxy() : await startedProxy();
try {
  const env = { ...process.env, LITELLM_BASE_URL: proxy.baseUrl, LITELLM_MASTER_KEY: proxy.masterKey };
  const mocha = spawn('npx', ['--no-install', 'mocha', 'test/litellm/*.test.ts', ...process.argv.slice(2)], {
    env,
    stdio: 'inherit',
  });
  const [code] = await once(mocha, 'exit');
  process.exitCode = code ?? 1;
} finally {
  await proxy.stop();
}

function runningProxy() {
  return { baseUrl: LITELLM_BASE_URL, masterKey: LITELLM_MASTER_KEY, async stop() {} };
}

async function startedProxy() {
  if (!existsSync(LITELLM_RIG)) {
    console.error(
      'No LiteLLM: set LITELLM_BASE_URL and LITELLM_MASTER_KEY, or LITELLM_RIG to a script that starts one.',
    );
    process.exit(1);
  }
  const rig = spawn('bash', [LITELLM_RIG], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(rig, 'exit');
  const line = once(createInterface({ input: rig.stdout }), 'line');
  const ended = gone.then(([code]) => Promise.reject(new Error(`${LITELLM_RIG} ended with ${code}`)));
  ended.catch(() => {});
  const [first] = await Promise.race([line, ended]);
  const { baseUrl, masterKey } = JSON.parse(first);
  return {
    baseUrl,
    masterKey,
    async stop() {
      rig.kill('SIGTERM');
      await gone;
    },
  };
}
