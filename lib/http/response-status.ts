import type { ServerResponse } from 'node:http';

/** Whether the upstream, or the handler itself, has done what was asked: any other answer consumed nothing. */
export function isSuccess({ statusCode }: ServerResponse): boolean {
  return statusCode >= 200 && statusCode <= 299;
}
