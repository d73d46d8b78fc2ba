import type { RequestHandler } from 'express';

/** One event of a stream, with line ends as they are given. */
export interface StreamSample {
  readonly title: string;
  readonly frames: readonly string[];
  /** Which of them is there only because its usage was asked for. */
  readonly injected: number;
}

const chunk = (fields: object) =>
  JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'gpt-4o', ...fields });
const delta = (content: string) => chunk({ choices: [{ index: 0, delta: { content } }], usage: null });
const usage = chunk({ choices: [], usage: { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 } });

/** Chat streams that are told apart by how they are written; each has used 100 tokens of input and 7 of output. */
export const chatStreams: readonly StreamSample[] = [
  {
    title: 'with line feeds',
    frames: [`data: ${delta('Hel')}\n\n`, `data: ${delta('lo')}\n\n`, `data: ${usage}\n\n`, 'data: [DONE]\n\n'],
    injected: 2,
  },
  {
    title: 'with CRLF',
    frames: [`data: ${delta('Hel')}\r\n\r\n`, `data: ${usage}\r\n\r\n`, 'data: [DONE]\r\n\r\n'],
    injected: 1,
  },
  {
    title: 'with a byte order mark, comments and other fields',
    frames: [
      `\uFEFF: hello\nid: 1\nretry: 10\ndata:${delta('a')}\n\n`,
      ': ping\n\n',
      `event: message\ndata: ${usage}\n\n`,
      `data: [DONE]\n\n`,
      '\n',
    ],
    injected: 2,
  },
  {
    title: 'in many scripts',
    frames: [
      `data: ${delta('日本語 🎉')}\n\n`,
      `data: ${delta('Ünïcödé\u2028')}\n\n`,
      `data: ${usage}\n\n`,
      'data: [DONE]\n\n',
    ],
    injected: 2,
  },
  {
    title: "with a filter's result that has no choices either",
    frames: [
      `data: ${chunk({ choices: [], prompt_filter_results: [] })}\n\n`,
      `data: ${delta('x')}\n\n`,
      `data: ${usage}\n\n`,
      'data: [DONE]',
    ],
    injected: 2,
  },
];

export const streamUsage = { inputTokens: 100, outputTokens: 7 };

export function bytesOf(frames: readonly string[]): Buffer {
  return Buffer.from(frames.join(''));
}

/** Sends bytes in pieces of this size, each one on its own. */
export function sendInPieces(
  bytes: Buffer,
  pieceBytes: number,
  headers: Readonly<Record<string, string>>,
): RequestHandler {
  return async (_req, res) => {
    res.writeHead(200, headers);
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      await new Promise<void>((resolve) => {
        res.write(bytes.subarray(start, start + pieceBytes), () => resolve());
      });
    }
    res.end();
  };
}
