/** What rows must meet: terms of SQL, and the values of their parameters. */
export interface Conditions {
  readonly values: unknown[];
  /** `?` stands for the value. */
  add(term: string, value: unknown): void;
  /** A term without a value. */
  require(term: string): void;
  /** As it follows `where`. */
  sql(): string;
}

export function createConditions(): Conditions {
  const values: unknown[] = [];
  const terms: string[] = [];
  return {
    values,
    add: (term, value) => {
      const parameter = `$${values.push(value)}`;
      terms.push(term.replaceAll('?', () => parameter));
    },
    require: (term) => {
      terms.push(term);
    },
    sql: () => (terms.length === 0 ? 'true' : terms.join(' and ')),
  };
}

/** Any of these texts; `undefined`: all rows. */
export function addAnyOf(conditions: Conditions, column: string, texts: readonly string[] | undefined): void {
  if (texts !== undefined) conditions.add(`${column} = any(?::text[])`, texts.filter(isStorable));
}

const unstorable = /[\0\p{Cs}]/u;

/** Postgres stores no NUL and no half of a surrogate pair in a text, so nothing stored is equal to one that has any. */
export function isStorable(text: string): boolean {
  return !unstorable.test(text);
}
