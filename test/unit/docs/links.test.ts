import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const pages = readdirSync('.').filter((name) => name.endsWith('.md'));

/** Headings as GitHub turns them into anchors. */
function anchorsOf(page: string): readonly string[] {
  return Array.from(withoutCode(page).matchAll(/^#{1,6} (.+)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(page: string): string {
  return readFileSync(page, 'utf8').replace(/^```.*?^```$/gms, '');
}

function isBroken(link: string, page: string): boolean {
  const [path = '', anchor] = link.split('#', 2);
  const target = path === '' ? page : path;
  if (!existsSync(join(target))) return true;
  return anchor !== undefined && !anchorsOf(target).includes(anchor);
}

describe('the pages at the root', () => {
  for (const page of pages) {
    it(`link to files and headings that exist in ${page}`, () => {
      const links = Array.from(withoutCode(page).matchAll(/\]\(([^)\s]+)\)/g), ([, link = '']) => link);
      assert.deepEqual(
        links.filter((link) => !/^[a-z]+:/.test(link) && isBroken(link, page)),
        [],
      );
    });

    it(`name source files that exist in ${page}`, () => {
      const named = Array.from(
        withoutCode(page).matchAll(/`((?:lib|test|examples|scripts)\/[\w./-]+)`/g),
        ([, path = '']) => path,
      );
      assert.deepEqual(
        named.filter((path) => !existsSync(path)),
        [],
      );
    });
  }
});
