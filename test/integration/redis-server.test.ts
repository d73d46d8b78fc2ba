import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';
import { newPrefix } from '../support/services/random-name.ts';
import { ownRedisServer, redisServer, withRedis } from '../support/services/redis-server.ts';

describe('redisServer', () => {
  it('answers, the same one to every test file', async () => {
    const { url } = await redisServer();
    const redis = new Redis(url);
    const key = newPrefix();
    await redis.set(key, 'kept', 'EX', 60);
    assert.equal(await redis.get(key), 'kept');
    redis.disconnect();
    assert.equal((await redisServer()).url, url);
  });
});

describe('ownRedisServer', () => {
  it('keeps what was written through a kill, when it is append-only', async () => {
    const server = await ownRedisServer({ appendOnly: true });
    await withRedis(server.port, (redis) => redis.set('key', 'kept'));
    const killed = server.pid();
    await server.kill();
    assert.throws(() => process.kill(killed, 0), { code: 'ESRCH' });
    await assert.rejects(withRedis(server.port, (redis) => redis.ping()));
    await server.restart();
    assert.notEqual(server.pid(), killed);
    assert.equal(await withRedis(server.port, (redis) => redis.get('key')), 'kept');
    await server.stop();
  });

  it('loses everything in a kill, when it is not', async () => {
    const server = await ownRedisServer();
    await withRedis(server.port, (redis) => redis.set('key', 'lost'));
    await server.kill();
    await server.restart();
    assert.equal(await withRedis(server.port, (redis) => redis.get('key')), null);
    await server.stop();
  });

  it('leaves neither a process nor a folder when it is stopped', async () => {
    const server = await ownRedisServer();
    const folder = (await withRedis(server.port, (redis) => redis.config('GET', 'dir')))[1];
    const pid = server.pid();
    await server.stop();
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.equal(existsSync(String(folder)), false);
  });
});
