import type { GatewaySettings } from './environment.ts';

export interface Welcome {
  readonly url: string;
  readonly settings: GatewaySettings;
  readonly adminToken: string;
  readonly storeName: string;
}

/** What an operator is told when the gateway listens: where, and two commands that show it at work. */
export function welcomeText({ url, settings, adminToken, storeName }: Welcome): string {
  const { upstream } = settings;
  const isOwnToken = settings.adminToken !== null;
  const token = isOwnToken ? '$ADMIN_TOKEN' : adminToken;
  const model = upstream === null ? 'echo' : 'gpt-4o-mini';
  const key = { name: 'First key', models: ['*'], rpmLimit: 60, maxBudget: 5 };
  const request = { model, stream: true, messages: [{ role: 'user', content: 'Hello, world' }] };
  return [
    `The gateway listens on ${url}`,
    storeName === 'memory'
      ? 'Keys, limits and usage are kept in memory: when it stops, all of them are forgotten.'
      : `Keys, limits and usage are kept in the store "${storeName}".`,
    upstream === null
      ? 'The echo model answers: it repeats what it is told. Set UPSTREAM_BASE_URL for a real one.'
      : `Requests go to ${upstream.baseUrl}`,
    ...(settings.litellm === null ? [] : [`Keys are mirrored to LiteLLM at ${settings.litellm.baseUrl}`]),
    ...(settings.litellm !== null && storeName === 'memory'
      ? ['Their twins there outlive this process, which forgets them: set DATABASE_URL or REDIS_URL.']
      : []),
    ...(isOwnToken ? [] : ['', `Admin token, made for this run: ${token}`]),
    '',
    'Make a key (its secret is shown this once):',
    '',
    curl(`${url}/api-keys`, `Authorization: Bearer ${token}`, key),
    '',
    'Put the secret into SECRET, and use it:',
    '',
    curl(`${url}/v1/chat/completions`, 'Authorization: Bearer $SECRET', request, '-N '),
    '',
    'What it has spent, and what is left:',
    '',
    `curl -s ${url}/api-keys/me -H "Authorization: Bearer $SECRET"`,
    '',
  ].join('\n');
}

function curl(url: string, authorization: string, body: object, flags = ''): string {
  return `curl -s ${flags}${url} -H "${authorization}" -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
}
