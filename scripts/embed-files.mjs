// Makes a module of the files in a folder, so that bundled and CommonJS builds carry them. `--check` writes nothing and
// fails where a module is not what its files say.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const modules = [
  { folder: 'lib/stores/postgres/migrations', extension: '.sql', constant: 'migrationFiles' },
  { folder: 'lib/stores/redis/lua', extension: '.lua', constant: 'luaFiles' },
];

const isCheck = process.argv.includes('--check');
for (const { folder, extension, constant } of modules) {
  const module = `${folder}.ts`;
  const text = moduleText(folder, extension, constant);
  const current = existsSync(module) ? readFileSync(module, 'utf8') : '';
  if (text === current) continue;
  if (isCheck) {
    console.error(`${module} is older than the files in ${folder}: run npm run embed`);
    process.exitCode = 1;
  } else {
    writeFileSync(module, text);
  }
}

function moduleText(folder, extension, constant) {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => {
      const literal = readFileSync(`${folder}/${name}`, 'utf8').replace(/[`\\]|\$\{/g, '\\$&');
      const key = name.slice(0, -extension.length);
      return `  ${/^[a-z]+$/.test(key) ? key : `'${key}'`}: \`${literal}\`,\n`;
    });
  const origin = `${folder.split('/').at(-1)}/*${extension}`;
  return `// Made of ${origin} by scripts/embed-files.mjs.\nexport const ${constant} = {\n${files.join('')}};\n`;
}
