import type { ServerResponse } from 'node:http';
import { exposedHeaders, type HeaderFamily } from './rate-limit-headers.ts';

const field = 'Access-Control-Expose-Headers';
const exposedAlways = exposedHeaders([]).join(', ');

/**
 * What lets a browser's client read the headers of these families, and those that are always told. Nothing is said to
 * anybody else: browsers send `Origin` with every request whose answer they keep from a script.
 */
export function exposing(families: readonly HeaderFamily[]): (res: ServerResponse) => void {
  const names = exposedHeaders(families);
  const ours = names.join(', ');

  return (res) => {
    if (res.req.headers.origin === undefined) return;
    const exposed = res.getHeader(field);
    // Nobody else has exposed any: all of ours are among these.
    if (exposed === undefined || exposed === exposedAlways) res.setHeader(field, ours);
    else res.setHeader(field, union(String(exposed), names));
  };
}

function union(exposed: string, names: readonly string[]): string {
  const others = exposed.split(',').map((name) => name.trim());
  const all = new Set([...others, ...names]);
  all.delete('');
  return [...all].join(', ');
}
