import net from 'node:net';
import { quantile } from './race.ts';

/** What a load is: so many connections, each of which sends the request again when its answer is whole. */
export interface Load {
  readonly port: number;
  readonly connections: number;
  readonly durationMs: number;
  readonly path: string;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
}

export interface LoadResult {
  readonly answers: number;
  /** Answers of another status than 200, and connections that broke. */
  readonly failures: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const headEnd = Buffer.from('\r\n\r\n');
const lastChunk = Buffer.from('0\r\n\r\n');
const longestWaitMs = 10_000;

process.on('message', (load: Load) => {
  void run(load).then((result) => process.send?.(result));
});

/** Plain sockets: a client of HTTP would take as long as the servers that are to be measured. */
async function run(load: Load): Promise<LoadResult> {
  const request = requestBytes(load);
  const times: number[] = [];
  let failures = 0;
  const begunAtMs = performance.now();
  const endsAtMs = begunAtMs + load.durationMs;

  function connection(): Promise<void> {
    return new Promise((resolve) => {
      const socket = net.connect({ port: load.port, host: '127.0.0.1', noDelay: true });
      let sentAtMs = 0;
      let answer = new AnswerEnd();
      const finish = () => {
        socket.destroy();
        resolve();
      };
      const send = () => {
        answer = new AnswerEnd();
        sentAtMs = performance.now();
        socket.write(request);
      };
      socket.setTimeout(longestWaitMs, () => socket.destroy(new Error('no answer')));
      socket.once('connect', send);
      socket.on('data', (chunk) => {
        if (!answer.isWholeWith(chunk)) return;
        times.push(performance.now() - sentAtMs);
        if (answer.status !== 200) failures += 1;
        if (performance.now() < endsAtMs) send();
        else finish();
      });
      socket.once('error', () => {
        failures += 1;
        finish();
      });
    });
  }

  await Promise.all(Array.from({ length: load.connections }, connection));
  const elapsedMs = performance.now() - begunAtMs;
  return {
    answers: times.length,
    failures,
    perSecond: (times.length * 1000) / elapsedMs,
    p50Us: quantile(times, 0.5) * 1000,
    p99Us: quantile(times, 0.99) * 1000,
  };
}

function requestBytes({ path, headers, body }: Load): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    'host: 127.0.0.1',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** Notices the end of one answer, by its length or by its last chunk. */
class AnswerEnd {
  status = 0;
  #head: Buffer | undefined = Buffer.alloc(0);
  #left: number | undefined;
  #tail = Buffer.alloc(0);

  isWholeWith(chunk: Buffer): boolean {
    if (this.#head === undefined) return this.#isWholeWithBody(chunk);
    this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf(headEnd);
    if (end < 0) return false;
    const head = this.#head.toString('latin1', 0, end);
    const body = this.#head.subarray(end + headEnd.length);
    this.#head = undefined;
    this.status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    this.#left = length === undefined ? undefined : Number(length);
    return this.#isWholeWithBody(body);
  }

  #isWholeWithBody(bytes: Buffer): boolean {
    if (this.#left !== undefined) {
      this.#left -= bytes.length;
      return this.#left <= 0;
    }
    this.#tail = Buffer.concat([this.#tail, bytes.subarray(-lastChunk.length)]).subarray(-lastChunk.length);
    return this.#tail.equals(lastChunk);
  }
}
