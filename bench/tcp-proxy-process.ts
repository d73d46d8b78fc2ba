import { tcpProxy } from '../test/support/tcp-proxy.ts';

/** A way to a port, in a process of its own: what delays must not take the time of those who are delayed. */
const proxy = await tcpProxy(Number(process.argv[2]));

process.on('message', (delayMs: number) => {
  if (delayMs === 0) proxy.heal();
  else proxy.fail({ type: 'slow', delayMs });
  process.send?.(proxy.port);
});
process.send?.(proxy.port);
