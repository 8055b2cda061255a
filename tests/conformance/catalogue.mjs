// Prints what the suite contains, as JSON: for each test its id, group, kind, what it depends on, and its name.
// `node catalogue.mjs FOLDER`, the folder being the unpacked package.
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const load = async file => (await import(pathToFileURL(path.join(process.argv[2], 'tests', file)))).default

const groups = [...await load('index.mjs'), await load('surrogate-control.mjs')]
const tests = groups.flatMap(group => group.tests.map(test => ({
  id: test.id,
  group: group.id,
  kind: test.kind ?? 'required',
  depends_on: test.depends_on ?? [],
  browser_only: test.browser_only === true,
  name: test.name
})))
console.log(JSON.stringify(tests))
