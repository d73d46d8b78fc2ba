import type { DescribedRoute } from './route.ts';

/** An endpoint that is not in the table and let through all the same: it counts as requests only. */
export function unlistedRoute(path: string): DescribedRoute {
  return {
    route: {
      path,
      endpoint: path,
      methods: [],
      model: 'none',
      modelField: 'model',
      body: 'none',
      permission: null,
      format: 'none',
      output: 'none',
      dialect: null,
      streams: 'never',
      usageOnRequest: false,
      metered: true,
    },
    path,
    endpointPath: path,
    model: null,
    models: [],
    modelFrom: null,
    streams: false,
  };
}
