import type { AddressInfo } from 'node:net';
import { type BenchServer, type ServerName, servers } from './servers.ts';

/** What a server tells when it listens, and when it is asked how it stands. */
export interface ServerState {
  readonly port: number;
  /** Sent with each request. */
  readonly headers: { readonly [name: string]: string };
  /** CPU time of the process so far. */
  readonly cpuUs: number;
  /** Calls that were admitted and settled, where calls are. */
  readonly settled: number | null;
}

const [name, upstreamPort = '0'] = process.argv.slice(2);
const { server, headers = {}, settled }: BenchServer = await servers[name as ServerName](Number(upstreamPort));

async function tell(): Promise<void> {
  const { user, system } = process.cpuUsage();
  const { port } = server.address() as AddressInfo;
  process.send?.({ port, headers, cpuUs: user + system, settled: (await settled?.()) ?? null } satisfies ServerState);
}

process.on('message', () => void tell());
if (server.listening) await tell();
else server.listen(0, '127.0.0.1', () => void tell());
