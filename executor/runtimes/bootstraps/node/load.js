'use strict';
// Finds the handler in the package.
const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const errors = require('./errors.js');

const NAME = /^([^.]*)\.(.*)$/;

function split(handler) {
  if (handler.includes('..')) throw errors.named('Runtime.MalformedHandlerName', `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const base = path.basename(handler);
  const match = NAME.exec(base);
  if (!match) throw errors.named('Runtime.MalformedHandlerName', 'Bad handler');
  return { folder: handler.slice(0, handler.length - base.length), file: match[1], names: match[2].split('.') };
}

function isModulePackage(folder, root) {
  for (let at = folder; ; at = path.dirname(at)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(at, 'package.json'), 'utf8')).type === 'module';
    } catch (e) {
      if (e.code !== 'ENOENT' && e.code !== 'ENOTDIR') return false;
    }
    if (at === root || at === path.dirname(at)) return false;
  }
}

async function loadFile(root, folder, file) {
  const base = path.resolve(root, folder, file);
  if (fs.existsSync(base + '.js')) {
    return isModulePackage(path.dirname(base), root) ? import(pathToFileURL(base + '.js').href) : require(base + '.js');
  }
  if (fs.existsSync(base + '.mjs')) return import(pathToFileURL(base + '.mjs').href);
  if (fs.existsSync(base + '.cjs')) return require(base + '.cjs');
  return require(require.resolve(folder === '' ? file : path.posix.join(folder, file), { paths: [root, ...nodePath()] }));
}

function nodePath() {
  return (process.env.NODE_PATH || '').split(':').filter(Boolean);
}

function classify(e) {
  if (e instanceof SyntaxError) return errors.named('Runtime.UserCodeSyntaxError', `${e.name}: ${e.message}`, `Runtime.UserCodeSyntaxError: ${e.stack}`);
  if (e && (e.code === 'MODULE_NOT_FOUND' || e.code === 'ERR_MODULE_NOT_FOUND')) {
    return errors.named('Runtime.ImportModuleError', `Error: ${e.message}`, `Runtime.ImportModuleError: ${e.stack}`);
  }
  return e;
}

function find(module, handler, names) {
  const pick = from => names.reduce((o, name) => (o === undefined || o === null ? undefined : o[name]), from);
  const found = pick(module) === undefined && module && module.default ? pick(module.default) : pick(module);
  if (found === undefined) throw errors.named('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof found !== 'function') throw errors.named('Runtime.HandlerNotFound', `${handler} is not a function`);
  return found;
}

// load gives the handler function, or throws an error of AWS's shape.
async function load(root, handler) {
  const at = split(handler);
  let module;
  try {
    module = await loadFile(root, at.folder, at.file);
  } catch (e) {
    throw classify(e);
  }
  return find(module, handler, at.names);
}

module.exports = { load };
