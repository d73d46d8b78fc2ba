import assert from 'node:assert/strict';
import { checkWebhooks } from '../../../../lib/keys/webhooks/webhook-options.ts';

const secret = 'sixteen characters or more';
const url = 'https://hooks.example.com/T0/B0?token=hidden-token';

describe('checkWebhooks', () => {
  it('takes a target for all alerts, of public addresses alone, unless it says otherwise', () => {
    const [all, some] = checkWebhooks([
      { url, secret },
      { url: new URL('http://127.0.0.1:80/'), secret, events: ['budget.exceeded'], allowPrivate: true },
    ]);
    assert.deepEqual(all, {
      url: new URL(url),
      secret,
      events: new Set(['budget.warning', 'budget.exceeded', 'hold.abandoned', 'hold.lost', 'usage.unpriced']),
      allowPrivate: false,
    });
    assert.deepEqual(some, {
      url: new URL('http://127.0.0.1:80/'),
      secret,
      events: new Set(['budget.exceeded']),
      allowPrivate: true,
    });
  });

  for (const [hostname, written] of [
    ['127.0.0.1', ''],
    ['localhost', ''],
    ['api.LOCALHOST', ''],
    ['localhost.', ''],
    ['10.0.0.8', ''],
    ['169.254.169.254', ''],
    ['[::1]', ''],
    ['[fd00::1]', ''],
    ['[::ffff:127.0.0.1]', ''],
    ['2130706433', ' as a number'],
    ['0x7f.1', ' in hexadecimal'],
    ['017700000001', ' in octal'],
  ] as const) {
    it(`refuses ${hostname}${written} as private, and takes it where that is allowed`, () => {
      const webhook = { url: `http://${hostname}/hook`, secret };
      assert.throws(() => checkWebhooks([webhook]), {
        name: 'TypeError',
        message: /^createVirtualKeys: webhooks\[0\]\.url is a private address/,
      });
      assert.equal(checkWebhooks([{ ...webhook, allowPrivate: true }]).length, 1);
    });
  }

  for (const [what, webhooks, message] of [
    ['no list', { url, secret }, /webhooks must be a list/],
    ['too many', Array.from({ length: 21 }, () => ({ url, secret })), /at most 20/],
    ['null', [null], /webhooks\[0\] must be \{ url, secret \}/],
    ['no URL', [{ secret }], /\.url must be an http or https URL/],
    ['another scheme', [{ url: 'file:///etc/passwd', secret }], /\.url must be an http or https URL/],
    ['text that is no URL', [{ url: 'hooks.example.com', secret }], /\.url must be an http or https URL/],
    ['credentials', [{ url: 'https://ann:hidden-password@hooks.example.com', secret }], /must not hold credentials/],
    ['no secret', [{ url }], /\.secret must be a text of 16 characters or more/],
    ['a short secret', [{ url, secret: 'hidden-token' }], /\.secret must be/],
    ['no event', [{ url, secret, events: [] }], /\.events must be some of budget\.warning, /],
    [
      'an unknown event',
      [
        { url, secret },
        { url, secret, events: ['key.created'] },
      ],
      /webhooks\[1\]\.events/,
    ],
    ['a word for a flag', [{ url, secret, allowPrivate: 'yes' }], /\.allowPrivate must be true or false/],
    ['an unknown option', [{ url, secret, event: ['budget.warning'] }], /did you mean "events"\?/],
  ] as const) {
    it(`refuses ${what}, and tells no secret`, () => {
      assert.throws(
        () => checkWebhooks(webhooks),
        (error) => {
          assert.ok(error instanceof TypeError);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /hidden|sixteen/);
          return true;
        },
      );
    });
  }
});
