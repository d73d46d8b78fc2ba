import type { LiteLLMClient } from '../client/client.ts';

/** Somebody may remove a team there. */
const knownForMs = 60_000;
const knownAtMost = 1000;

/** Makes teams that LiteLLM does not know, and does not ask again for a while. */
export function createTeams(client: LiteLLMClient): (teamId: string) => Promise<void> {
  const knownUntilMs = new Map<string, number>();

  return async function ensureTeam(teamId) {
    if ((knownUntilMs.get(teamId) ?? 0) > performance.now()) return;
    await client.teams.create({ team_id: teamId });
    if (knownUntilMs.size >= knownAtMost) knownUntilMs.clear();
    knownUntilMs.set(teamId, performance.now() + knownForMs);
  };
}
