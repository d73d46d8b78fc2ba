import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiteLLMError } from '../../../lib/errors.ts';
import { StartError } from '../../../lib/gateway/environment.ts';
import { keepStarting } from '../../../lib/gateway/litellm-mirror.ts';
import { eventually } from '../../support/eventually.ts';

const away = new LiteLLMError('litellm_unavailable', 'LiteLLM did not answer');
const wrongKey = new LiteLLMError('litellm_refused', 'LiteLLM does not take this master key');
const pauseMs = 2;

/** A mirror whose starts are answered by the test, one after another. */
function mirrorOf() {
  const starts: { resolve(): void; reject(error: Error): void }[] = [];
  let stops = 0;
  return {
    starts,
    stops: () => stops,
    start: () =>
      new Promise<void>((resolve, reject) => {
        starts.push({ resolve, reject });
      }),
    async stop() {
      stops += 1;
    },
  };
}

describe('keepStarting', () => {
  async function startedWhileAway() {
    const mirror = mirrorOf();
    const told: string[] = [];
    const starting = keepStarting(mirror, (message) => void told.push(message), pauseMs);
    mirror.starts[0]?.reject(away);
    const giveUp = await starting;
    await eventually(() => mirror.starts.length === 2);
    return { mirror, told, giveUp };
  }

  it('tries until LiteLLM is there, and tells what it has against us', async () => {
    const { mirror, told } = await startedWhileAway();
    mirror.starts[1]?.reject(away);
    await eventually(() => mirror.starts.length === 3);
    mirror.starts[2]?.reject(wrongKey);
    await eventually(() => mirror.starts.length === 4);
    mirror.starts[3]?.resolve();
    await sleep(10 * pauseMs);
    assert.deepEqual([mirror.starts.length, mirror.stops()], [4, 0]);
    assert.deepEqual(told, [`${away.message}; keys reach it when it is there`, `LiteLLM: ${wrongKey.message}`]);
  });

  it('tries no more when it was given up while LiteLLM was asked', async () => {
    const { mirror, giveUp } = await startedWhileAway();
    giveUp();
    mirror.starts[1]?.reject(away);
    await sleep(10 * pauseMs);
    assert.equal(mirror.starts.length, 2);
  });

  it('stops a mirror that has started after it was given up', async () => {
    const { mirror, giveUp } = await startedWhileAway();
    giveUp();
    mirror.starts[1]?.resolve();
    await eventually(() => mirror.stops() === 1);
    assert.equal(mirror.starts.length, 2);
  });

  it('throws what only an operator can mend', async () => {
    const mirror = mirrorOf();
    const starting = keepStarting(mirror, () => undefined, pauseMs);
    mirror.starts[0]?.reject(wrongKey);
    await assert.rejects(starting, new StartError(`LITELLM_BASE_URL: ${wrongKey.message}`, { cause: wrongKey }));
  });
});
