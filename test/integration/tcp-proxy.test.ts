import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { newPrefix } from '../support/services/random-name.ts';
import { ownRedisServer, type RedisServer, withRedis } from '../support/services/redis-server.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';

describe('tcpProxy', () => {
  let server: RedisServer;
  let proxy: TcpProxy;
  let client: Redis;

  before(async () => {
    server = await ownRedisServer();
  });
  after(() => server.stop());

  beforeEach(async () => {
    proxy = await tcpProxy(server.port);
    client = new Redis({ host: '127.0.0.1', port: proxy.port, retryStrategy: () => null, commandTimeout: 200 });
    client.on('error', () => undefined);
    await client.ping();
  });
  afterEach(async () => {
    client.disconnect();
    await proxy.close();
  });

  it('ends connections and refuses new ones, when cut', async () => {
    proxy.fail({ type: 'cut' });
    await assert.rejects(client.ping());
    await assert.rejects(withRedis(proxy.port, (redis) => redis.ping()));
    proxy.heal();
    assert.equal(await withRedis(proxy.port, (redis) => redis.ping()), 'PONG');
  });

  it('keeps back what is said while it stalls, and passes it on later', async () => {
    const key = newPrefix();
    proxy.fail({ type: 'stall' });
    await assert.rejects(client.set(key, 'late'), /timed out/);
    assert.equal(await withRedis(server.port, (redis) => redis.get(key)), null);
    proxy.heal();
    assert.equal(await client.get(key), 'late');
  });

  it('accepts and never answers, when half-open', async () => {
    proxy.fail({ type: 'halfOpen' });
    const other = new Redis({ host: '127.0.0.1', port: proxy.port, retryStrategy: () => null, commandTimeout: 200 });
    other.on('error', () => undefined);
    await assert.rejects(other.ping(), /timed out/);
    other.disconnect();
  });

  it('lets the server act and loses its replies, when these are dropped', async () => {
    const key = newPrefix();
    proxy.fail({ type: 'dropReplies' });
    await assert.rejects(client.set(key, 'done'), /timed out/);
    assert.equal(await withRedis(server.port, (redis) => redis.get(key)), 'done');
  });

  it('loses the replies to one request and all after it, when told which', async () => {
    const key = newPrefix();
    proxy.fail({ type: 'dropRepliesTo', request: key });
    assert.equal(await client.ping(), 'PONG');
    await assert.rejects(client.set(key, 'done'), /timed out/);
    await assert.rejects(client.ping(), /timed out/);
    assert.equal(await withRedis(server.port, (redis) => redis.get(key)), 'done');
  });

  it('delays both ways, when slow', async () => {
    proxy.fail({ type: 'slow', delayMs: 40 });
    const startMs = performance.now();
    assert.equal(await client.ping(), 'PONG');
    assert.ok(performance.now() - startMs >= 79);
  });
});
