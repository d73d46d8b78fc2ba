import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as errors from '../../../lib/errors.ts';
import { rateLimitOptions } from '../../../lib/http/rate-limit.ts';
import { recordUsageOptions } from '../../../lib/http/record-usage.ts';
import type { Refusal } from '../../../lib/http/refusal.ts';
import { refusalRow } from '../../../lib/http/refusal-table.ts';
import { RefusedError } from '../../../lib/http/refuse.ts';
import { apiKeyOptions } from '../../../lib/http/require-api-key.ts';
import { modelAccessOptions } from '../../../lib/http/require-model-access.ts';
import * as exported from '../../../lib/index.ts';
import { rateLimitPresets } from '../../../lib/limits/presets.ts';

const readme = readFileSync('README.md', 'utf8');

const limit = { scope: 'key', limitName: 'rpm', limit: 1, retryAfterMs: 1 } as const;

/** One of each kind that the middlewares of this version can answer. */
const refusals: readonly Refusal[] = [
  { kind: 'missing_key' },
  { kind: 'invalid_key' },
  { kind: 'ambiguous_key' },
  { kind: 'closed_key', status: 'revoked' },
  { kind: 'closed_key', status: 'disabled' },
  { kind: 'closed_key', status: 'expired' },
  { kind: 'too_many_bad_keys', retryAfterMs: 1 },
  { kind: 'model', model: 'm', scope: 'key' },
  { kind: 'endpoint', scope: null },
  { kind: 'address' },
  { kind: 'requests', ...limit },
  { kind: 'tokens', ...limit },
  { kind: 'concurrency', ...limit },
  { kind: 'too_large', ...limit },
  { kind: 'budget', ...limit },
  { kind: 'unpriced', model: 'm' },
  { kind: 'not_metered', what: 'A batch', param: null },
  { kind: 'model_required' },
  { kind: 'model_conflict' },
  { kind: 'invalid_path' },
  { kind: 'invalid_body', problem: 'p', param: null },
  { kind: 'body_too_large' },
  { kind: 'media_type', expected: 'application/json' },
  { kind: 'store_down' },
];

describe('README.md', () => {
  it('names everything that the package exports', () => {
    const names = Object.keys(exported);
    assert.deepEqual(
      names.filter((name) => !new RegExp(`\\b${name}\\b`).test(readme)),
      [],
    );
  });

  for (const [middleware, names] of [
    ['requireApiKey', apiKeyOptions],
    ['requireModelAccess', modelAccessOptions],
    ['rateLimit', rateLimitOptions],
    ['recordUsage', recordUsageOptions],
  ] as const) {
    it(`has a row for each option of ${middleware}, and no other`, () => {
      assert.deepEqual(firstCells(tableAfter(`**\`${middleware}(`)), names);
    });
  }

  it('has a row for each option of createVirtualKeys, and no other', () => {
    const documented = firstCells(tableAfter('### createVirtualKeys(options)'));
    assert.throws(
      () => exported.createVirtualKeys({ unheardOf: true } as never),
      ({ message }: Error) => {
        const known = message.split('the options are ')[1]?.split(', ') ?? [];
        assert.deepEqual([...documented].sort(), [...known].sort());
        return true;
      },
    );
  });

  it('tells each refusal as it is answered, in the row of its case', () => {
    const rows = tableAfter('| case | status |');
    const told = new Set(rows.slice(2));
    for (const refusal of refusals) {
      const { status, type, code, anthropic, gemini } = refusalRow(refusal);
      const ofAnthropic = anthropic.status === undefined ? '' : ` (Anthropic ${anthropic.status})`;
      const cells = [
        `${status}${ofAnthropic}`,
        `\`${type}\`, \`${code}\``,
        `\`${anthropic.type}\``,
        `\`${gemini.status}\`, \`${gemini.reason}\``,
      ];
      const row = rows.find((line) => line.endsWith(`| ${cells.join(' | ')} |`));
      assert.ok(row, `no row for ${refusal.kind}: ${cells.join(' | ')}`);
      told.delete(row);
    }
    assert.deepEqual([...told], []);
  });

  it('tells the limits that each preset stands for', () => {
    const [head = '', , ...rows] = tableAfter('| preset |');
    const limits = Array.from(head.matchAll(/`(\w+)`/g), ([, name = '']) => name);
    const told = rows.map((row) => {
      const [preset = '', ...figures] = row.split(' | ').map((cell) => cell.replace(/[^\w]/g, ''));
      return [preset, Object.fromEntries(limits.map((name, at) => [name, Number(figures[at])]))];
    });
    assert.deepEqual(Object.fromEntries(told), rateLimitPresets);
  });

  it('tells class, code and status of each error', () => {
    const sample: { readonly [name: string]: () => errors.LlmKeysError } = {
      InvalidRequestError: () => new errors.InvalidRequestError([]),
      QuotaLimitsExceededError: () => new errors.QuotaLimitsExceededError([]),
      UnauthorizedError: () => new errors.UnauthorizedError(),
      ForbiddenError: () => new errors.ForbiddenError(),
      KeyNotFoundError: () => new errors.KeyNotFoundError(),
      AliasTakenError: () => new errors.AliasTakenError(),
      VersionConflictError: () => new errors.VersionConflictError(1),
      KeyRevokedError: () => new errors.KeyRevokedError(),
      OwnerKeyLimitError: () => new errors.OwnerKeyLimitError(1),
      PayloadTooLargeError: () => new errors.PayloadTooLargeError(),
      UnsupportedMediaTypeError: () => new errors.UnsupportedMediaTypeError(),
      TooManyFailedAttemptsError: () => new errors.TooManyFailedAttemptsError(3000),
      StoreUnavailableError: () => new errors.StoreUnavailableError(),
      FencePendingError: () => new errors.FencePendingError(),
      RotationPendingError: () => new exported.RotationPendingError({} as never, new errors.FencePendingError()),
      LiteLLMError: () => new errors.LiteLLMError('litellm_unavailable', ''),
    };
    const rows = tableAfter('| class | code | status |').slice(2);
    assert.deepEqual(firstCells(['', '', ...rows]), [...Object.keys(sample), RefusedError.name]);
    for (const [name, make] of Object.entries(sample)) {
      const { code, status } = make();
      assert.ok(
        rows.some((row) => row.startsWith(`| \`${name}\` | \`${code}\` | ${status}`)),
        `${name} is ${code}, ${status}`,
      );
    }
  });

  it('names each event that listeners may ask for', () => {
    const keys = exported.createVirtualKeys({ store: exported.memoryStore() });
    const told = Array.from(section('## Events').matchAll(/`([a-z]+\.[a-z]+)`/g), ([, name = '']) => name);
    for (const name of told) keys.on(name as never, () => undefined);
    assert.ok(told.length > 0);
    return keys.close();
  });
});

/** The lines of the first table at or after a text that stands once on the page. */
function tableAfter(text: string): readonly string[] {
  const lines = readme.slice(readme.indexOf(text)).split('\n');
  assert.equal(readme.split(text).length, 2, `${text} stands once`);
  const start = lines.findIndex((line) => line.startsWith('|'));
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'));
  return lines.slice(start, start + length);
}

/** What the rows of a table begin with, without its head. */
function firstCells(table: readonly string[]): readonly string[] {
  return table.slice(2).map((row) => /^\| `(\w+)`/.exec(row)?.[1] ?? row);
}

function section(heading: string): string {
  const [, rest = ''] = readme.split(`\n${heading}\n`);
  return rest.split('\n## ')[0] ?? '';
}
