'use strict';
const $ = id => document.getElementById(id);
const el = (tag, attributes, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name in node) node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
};
// What stands between backquotes is code.
const prose = (tag, attributes, text) => el(tag, attributes, ...text.split('`')
  .map((part, index) => (index % 2 ? el('code', {}, part) : part)));
const VERBS = ['get', 'post', 'put', 'patch', 'delete'];
let api = {};

const resolve = schema => {
  for (let hops = 0; schema && schema.$ref && hops < 8; hops++) {
    schema = schema.$ref.slice(2).split('/').reduce((at, key) => (at || {})[key], api);
  }
  return schema || {};
};

// A body to start from, made of the schema's own examples.
const sample = (schema, depth = 0) => {
  schema = resolve(schema);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const inner = (schema.allOf || schema.oneOf || schema.anyOf || []).find(part => part.type !== 'null');
  if (inner && depth < 6) return sample(inner, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type.find(name => name !== 'null') : schema.type;
  if (type === 'array') return depth < 6 ? [sample(schema.items, depth + 1)] : [];
  if (type === 'integer' || type === 'number') return schema.minimum || 1;
  if (type === 'boolean') return true;
  if (type === 'string') return schema.format === 'uuid' ? '00000000-0000-0000-0000-000000000000' : '';
  const object = {};
  if (depth < 6) {
    for (const [name, member] of Object.entries(schema.properties || {})) {
      const value = sample(member, depth + 1);
      // What may be left out and has no example would be refused as it is.
      if (value !== '' || (schema.required || []).includes(name)) object[name] = value;
    }
  }
  return object;
};

const show = (output, text) => { output.hidden = false; output.textContent = text; };

const send = async (verb, path, inputs, body, type, output) => {
  const headers = { accept: 'application/json, */*' };
  const query = new URLSearchParams();
  let url = path;
  for (const { parameter, input } of inputs) {
    const value = input.value.trim();
    if (parameter.in === 'path') url = url.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (!value) continue;
    else if (parameter.in === 'query') query.append(parameter.name, value);
    else if (parameter.in === 'header') headers[parameter.name] = value;
  }
  if ([...query].length) url += `?${query}`;
  if ($('token').value.trim()) headers.authorization = `Bearer ${$('token').value.trim()}`;
  if (body && body.value.trim()) headers['content-type'] = type;
  show(output, '…');
  const began = performance.now();
  try {
    const answer = await fetch(url, { method: verb.toUpperCase(), headers, body: body && body.value.trim() ? body.value : undefined });
    const head = `${answer.status} ${answer.statusText}  ${Math.round(performance.now() - began)} ms\n`
      + [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    if ((answer.headers.get('content-type') || '').startsWith('text/event-stream')) {
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        text += part.value;
        show(output, `${head}\n\n${text}`);
      }
      return;
    }
    const text = await answer.text();
    let pretty = text;
    try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
    show(output, `${head}\n\n${pretty}`);
  } catch (error) {
    show(output, `no answer: ${error.message}`);
  }
};

const operationBody = (verb, path, operation, shared) => {
  const box = el('div', { className: 'body' });
  for (const text of (operation.description || '').split('\n\n').filter(Boolean)) box.append(prose('p', {}, text));
  const inputs = [...(shared || []), ...(operation.parameters || [])].map(resolve).map(parameter => {
    const input = el('input', { placeholder: parameter.description || '', spellcheck: false });
    if (parameter.name.toLowerCase() === 'idempotency-key') input.value = crypto.randomUUID ? crypto.randomUUID() : String(Date.now());
    box.append(el('label', {}, `${parameter.name}${parameter.required ? ' *' : ''} (${parameter.in})`, input));
    return { parameter, input };
  });
  const content = Object.entries((resolve(operation.requestBody) || {}).content || {})[0];
  let body = null;
  if (content) {
    const value = content[1].example !== undefined ? content[1].example : sample(content[1].schema);
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
    body = el('textarea', { value: text, rows: Math.min(24, text.split('\n').length + 1), spellcheck: false });
    box.append(el('p', {}, content[0]), body);
  }
  const output = el('pre', { hidden: true });
  const type = content ? content[0] : '';
  box.append(el('p', {}, el('button', { onclick: () => send(verb, path, inputs, body, type, output) }, 'Send')), output);
  const rows = Object.entries(operation.responses || {}).map(([status, answer]) =>
    el('tr', {}, el('td', {}, status), prose('td', {}, resolve(answer).description || '')));
  box.append(el('table', {}, ...rows));
  return box;
};

const render = () => {
  const groups = new Map((api.tags || []).map(tag => [tag.name, { about: tag.description || '', items: [] }]));
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const verb of VERBS.filter(name => item[name])) {
      const operation = item[verb];
      const tag = (operation.tags || ['other'])[0];
      if (!groups.has(tag)) groups.set(tag, { about: '', items: [] });
      const roles = (operation['x-roles'] || []).map(role => el('span', { className: 'role' }, role));
      const card = el('details', {}, el('summary', {},
        el('span', { className: `verb ${verb}` }, verb), el('span', { className: 'path' }, path),
        prose('span', { className: 'what' }, operation.summary || ''), ...roles));
      // So that a call can be linked to: /docs#place_order opens it.
      if (operation.operationId) card.id = operation.operationId;
      card.dataset.text = `${verb} ${path} ${operation.summary || ''} ${(operation['x-roles'] || []).join(' ')}`.toLowerCase();
      // Filled when it is opened: there are many of them.
      card.addEventListener('toggle', () => {
        if (card.open && card.childElementCount === 1) card.append(operationBody(verb, path, operation, item.parameters));
      });
      groups.get(tag).items.push(card);
    }
  }
  $('operations').replaceChildren();
  $('tags').replaceChildren();
  for (const [name, group] of [...groups].filter(entry => entry[1].items.length).sort()) {
    const section = el('section', { id: `tag-${name}` }, el('h2', {}, name), prose('p', {}, group.about), ...group.items);
    $('operations').append(section);
    $('tags').append(el('li', {}, el('a', { href: `#tag-${name}` }, `${name} (${group.items.length})`)));
  }
};

const follow = () => {
  const card = document.getElementById(location.hash.slice(1));
  if (!card) return;
  card.open = true;
  card.scrollIntoView();
};
addEventListener('hashchange', follow);

const enter = async (path, body) => {
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const json = await answer.json();
  $('who').textContent = answer.ok ? `a token for ${json.expires_in} s` : json.detail;
  if (answer.ok) $('token').value = json.access_token;
};
$('login').addEventListener('submit', event => {
  event.preventDefault();
  enter('/v1/auth/token', { email: $('email').value, password: $('password').value });
});
$('guest').addEventListener('click', () => enter('/v1/auth/guest', {}));
$('filter').addEventListener('input', () => {
  const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of document.querySelectorAll('details')) {
    card.hidden = !words.every(word => card.dataset.text.includes(word));
  }
  for (const section of document.querySelectorAll('section')) {
    section.hidden = ![...section.querySelectorAll('details')].some(card => !card.hidden);
  }
});
fetch('/v1/openapi.json').then(answer => answer.json()).then(json => {
  api = json;
  $('about').replaceWith(prose('p', { id: 'about' }, (api.info || {}).description || ''));
  render();
  follow();
}, error => { $('operations').textContent = `The document could not be read: ${error.message}`; });
