// The official JavaScript client: create, list in pages, watch with resume, an informer, patch, replace, apply, delete.
//
// Reads KUBECONFIG; takes the folder of its modules and a namespace.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, namespace] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'node_modules', 'index.js'));
const k8s = await import(require.resolve('@kubernetes/client-node'));

const COUNT = 7;
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const step = (words) => console.log(words);
const labelSelector = 'made-by=node';
const configMap = (name, data) => ({ metadata: { name, labels: { 'made-by': 'node' } }, data });
const refused = (code, call) => assert.rejects(call, (error) => error.code === code);

await core.createNamespace({ body: { metadata: { name: namespace } } });
for (let number = 0; number < COUNT; number++) {
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap(`n${number}`, { number: `${number}` }) });
  assert.equal(made.data.number, `${number}`);
}
await refused(409, core.createNamespacedConfigMap({ namespace, body: configMap('n0', {}) }));
await refused(404, core.readNamespacedConfigMap({ namespace, name: 'nobody' }));
step('create');

const names = [];
let page;
do {
  page = await core.listNamespacedConfigMap({ namespace, labelSelector, limit: 3, _continue: page?.metadata._continue });
  names.push(...page.items.map((item) => item.metadata.name));
} while (page.metadata._continue);
assert.deepEqual(names, [...Array(COUNT).keys()].map((number) => `n${number}`));
step('list in pages');

// Reads events until one is the last wanted, and gives the revision to go on from.
const watch = new k8s.Watch(config);
const events = (resourceVersion, count) =>
  new Promise((resolve, reject) => {
    const seen = [];
    let request;
    watch
      .watch(
        `/api/v1/namespaces/${namespace}/configmaps`,
        { resourceVersion, labelSelector },
        (type, object) => {
          if (seen.length < count) seen.push([type, object.metadata.name, object.metadata.resourceVersion]);
          if (seen.length === count) {
            resolve(seen);
            request?.abort();
          }
        },
        (error) => (seen.length === count ? resolve(seen) : reject(error ?? new Error('the watch ended'))),
      )
      .then((started) => {
        request = started;
        if (seen.length === count) request.abort();
      }, reject);
  });
const start = page.metadata.resourceVersion;
await core.patchNamespacedConfigMap(
  { namespace, name: 'n0', body: { data: { number: null, patched: 'yes' } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
);
await core.deleteNamespacedConfigMap({ namespace, name: 'n6' });
const [first] = await events(start, 1);
const [second] = await events(first[2], 1);
assert.deepEqual([first.slice(0, 2), second.slice(0, 2)], [['MODIFIED', 'n0'], ['DELETED', 'n6']]);
step('watch with resume');

const list = () => core.listNamespacedConfigMap({ namespace, labelSelector });
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, labelSelector);
const added = new Promise((resolve, reject) => {
  informer.on('add', (object) => object.metadata.name === 'late' && resolve());
  informer.on('error', reject);
});
await informer.start();
await core.createNamespacedConfigMap({ namespace, body: configMap('late', {}) });
await added;
await informer.stop();
step('informer');

const stale = await core.readNamespacedConfigMap({ namespace, name: 'n1' });
await core.patchNamespacedConfigMap(
  { namespace, name: 'n1', body: [{ op: 'add', path: '/data/json', value: 'patch' }] },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch),
);
await refused(409, core.replaceNamespacedConfigMap({ namespace, name: 'n1', body: stale }));
const fresh = await core.readNamespacedConfigMap({ namespace, name: 'n1' });
fresh.data.replaced = 'yes';
assert.equal((await core.replaceNamespacedConfigMap({ namespace, name: 'n1', body: fresh })).data.json, 'patch');
step('patch and replace');

const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data: { a: '1' } };
const apply = (manager, force) =>
  objects.patch(applied, undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
await apply('node', false);
applied.data.a = '2';
await refused(409, apply('other', false));
assert.equal((await apply('other', true)).data.a, '2');
step('apply');

const labels = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'example.test/web:1' }] } };
const body = { metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: labels }, template } };
await apps.createNamespacedDeployment({ namespace, body });
await new Promise((resolve, reject) => {
  const look = (_, web) => web.status?.readyReplicas === 2 && resolve();
  watch.watch(`/apis/apps/v1/namespaces/${namespace}/deployments`, {}, look, reject).catch(reject);
});
step('deployment');

await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector });
assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector })).items.length, 0);
await core.deleteNamespace({ name: namespace });
step('delete');
process.exit(0);
