import { type AccessSubject, mayUseEndpoint, mayUseModel } from '../keys/model-access.ts';
import type { Refusal } from './refusal.ts';
import type { DescribedRoute } from './route.ts';

/** What keeps the key, its owner or its team from what the request is for; `undefined`: nothing. */
export function accessRefusal(
  subject: AccessSubject,
  { route, path, endpointPath, models }: DescribedRoute,
): Refusal | undefined {
  const endpoint = mayUseEndpoint(subject, endpointPath, { permission: route.permission, alsoAs: path });
  if (!endpoint.allowed) return { kind: 'endpoint', scope: endpoint.scope };
  for (const model of models) {
    const access = mayUseModel(subject, model);
    if (!access.allowed) return { kind: 'model', model, scope: access.scope };
  }
  return undefined;
}
