import type { Limits } from './limit.ts';

/** The limits that a preset stands for. */
export type PresetLimits = {
  readonly [limit in 'rpmLimit' | 'tpmLimit' | 'rpdLimit' | 'tpdLimit' | 'maxParallelRequests']: Limits[limit];
};

/** Limits that go well together, by a name that a plan can carry. What an input says itself comes before them. */
export const rateLimitPresets = {
  standard: {
    rpmLimit: 60,
    tpmLimit: 100_000,
    rpdLimit: 10_000,
    tpdLimit: 2_000_000,
    maxParallelRequests: 10,
  },
  premium: {
    rpmLimit: 600,
    tpmLimit: 1_000_000,
    rpdLimit: 100_000,
    tpdLimit: 20_000_000,
    maxParallelRequests: 50,
  },
} satisfies { readonly [name: string]: PresetLimits };

export type RateLimitPreset = keyof typeof rateLimitPresets;
