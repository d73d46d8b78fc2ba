import { isIP } from 'node:net';
import { refuseUnknownOptions } from '../../options.ts';
import type { AlertType } from '../../stores/store.ts';
import { alertTypes, isAlertType } from '../shown-alert.ts';
import { isPrivateAddress } from './private-address.ts';

/** Where alerts are posted to. */
export interface WebhookOptions {
  /** `http:` or `https:`. */
  url: string | URL;
  /** Signs what is posted; 16 characters or more, known to the receiver. */
  secret: string;
  /** What is posted. @defaultValue every alert */
  events?: readonly AlertType[] | undefined;
  /** Lets the target be in a private network, or on this machine. @defaultValue false */
  allowPrivate?: boolean | undefined;
}

/** A webhook after its check. */
export interface WebhookTarget {
  readonly url: URL;
  readonly secret: string;
  readonly events: ReadonlySet<AlertType>;
  readonly allowPrivate: boolean;
}

const maxWebhooks = 20;
const minSecretLength = 16;

/** @throws TypeError naming the webhook and what is wrong with it, never its secret or its path */
export function checkWebhooks(given: unknown): readonly WebhookTarget[] {
  if (!Array.isArray(given) || given.length > maxWebhooks) {
    throw new TypeError(`createVirtualKeys: webhooks must be a list of at most ${maxWebhooks}: [{ url, secret }]`);
  }
  return given.map((webhook, index) => checkWebhook(`createVirtualKeys: webhooks[${index}]`, webhook));
}

function checkWebhook(where: string, given: unknown): WebhookTarget {
  if (typeof given !== 'object' || given === null) throw new TypeError(`${where} must be { url, secret }`);
  refuseUnknownOptions(where, given, ['url', 'secret', 'events', 'allowPrivate']);
  const {
    url,
    secret,
    events = alertTypes,
    allowPrivate = false,
  }: { [name in keyof WebhookOptions]?: unknown } = given;
  if (typeof secret !== 'string' || secret.length < minSecretLength) {
    throw new TypeError(`${where}.secret must be a text of ${minSecretLength} characters or more`);
  }
  if (!Array.isArray(events) || events.length === 0 || !events.every(isAlertType)) {
    throw new TypeError(`${where}.events must be some of ${alertTypes.join(', ')}`);
  }
  if (typeof allowPrivate !== 'boolean') throw new TypeError(`${where}.allowPrivate must be true or false`);
  const target = { url: checkUrl(where, url), secret, events: new Set(events), allowPrivate };
  if (!allowPrivate && isPrivateHost(target.url.hostname)) {
    throw new TypeError(`${where}.url is a private address; say allowPrivate: true if that is meant`);
  }
  return target;
}

function checkUrl(where: string, given: unknown): URL {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : given;
  if (!(url instanceof URL) || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new TypeError(`${where}.url must be an http or https URL`);
  }
  if (url.username !== '' || url.password !== '') throw new TypeError(`${where}.url must not hold credentials`);
  return url;
}

/** What is private whatever the resolver says; any other name is looked at when it is connected to. */
function isPrivateHost(hostname: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '');
  if (isIP(address) !== 0) return isPrivateAddress(address);
  return /(^|\.)localhost\.?$/.test(hostname);
}
