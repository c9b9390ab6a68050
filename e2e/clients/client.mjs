// The official JavaScript client against this server, in a namespace of its own.
//
// Run by the scenario `conformance::javascript` with KUBECONFIG and the namespace's name; prints
// one line for each group of checks, and fails at the first that does not hold.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

// Only `require` looks into NODE_PATH, and it cannot load this module before Node.js 20.17.
const k8s = await import(createRequire(import.meta.url).resolve('@kubernetes/client-node'));
const namespace = process.argv[2];
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const [group, version] = ['obiente.cloud', 'v1alpha1'];
const deployments = { group, version, namespace, plural: 'deployments' };
const apply = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply);
const merge = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch);
const strategic = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.StrategicMergePatch);

const checked = (what) => console.log(`checked: ${what}`);
const configMap = (name, data, metadata = {}) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, ...metadata }, data });
const deployment = (name, spec = {}) => ({
    apiVersion: `${group}/${version}`, kind: 'Deployment', metadata: { name, namespace },
    spec: { image: 'busybox:1.36', replicas: 0, ...spec },
});

async function fails(code, reason, work) {
    await assert.rejects(work, (error) => {
        const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
        assert.deepEqual([error.code, status.kind, status.reason], [code, 'Status', reason], error.message);
        return true;
    });
}

async function until(what, probe) {
    const deadline = Date.now() + 20_000;
    while (!probe()) {
        assert.ok(Date.now() < deadline, `not in time: ${what}`);
        await sleep(20);
    }
}

async function discovery() {
    assert.equal((await config.makeApiClient(k8s.VersionApi).getCode()).major, '1');
    const names = (await core.getAPIResources()).resources.map((resource) => resource.name);
    assert.ok(names.includes('configmaps') && names.includes('namespaces/status'), names);
    const groups = (await config.makeApiClient(k8s.ApisApi).getAPIVersions()).groups.map((found) => found.name);
    assert.ok(groups.includes(group), groups);
    checked('version, groups, resources');
}

async function typed() {
    const made = await core.createNamespacedConfigMap({ namespace, body: configMap('js', { a: '1' }) });
    assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
    await fails(409, 'AlreadyExists', core.createNamespacedConfigMap({ namespace, body: configMap('js', {}) }));
    await fails(404, 'NotFound', core.readNamespacedConfigMap({ namespace, name: 'none' }));
    const stale = await core.readNamespacedConfigMap({ namespace, name: 'js' });
    await core.replaceNamespacedConfigMap({ namespace, name: 'js', body: { ...made, data: { a: '2' } } });
    await fails(409, 'Conflict', core.replaceNamespacedConfigMap({ namespace, name: 'js', body: { ...stale, data: {} } }));
    for (const name of ['page-0', 'page-1', 'page-2']) {
        await core.createNamespacedConfigMap({ namespace, body: configMap(name, {}, { labels: { set: 'pages' } }) });
    }
    const first = await core.listNamespacedConfigMap({ namespace, labelSelector: 'set in (pages)', limit: 2 });
    const rest = await core.listNamespacedConfigMap({ namespace, labelSelector: 'set in (pages)', limit: 2, _continue: first.metadata._continue });
    assert.deepEqual([...first.items, ...rest.items].map((item) => item.metadata.name), ['page-0', 'page-1', 'page-2']);
    assert.equal(rest.metadata._continue, undefined);
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'set=pages' });
    await core.deleteNamespacedConfigMap({ namespace, name: 'js', propagationPolicy: 'Background' });
    checked('typed create, read, replace, list in pages, conflict, delete, deletecollection');
}

async function patches() {
    await core.createNamespacedConfigMap({ namespace, body: configMap('patch', { a: '1', b: '1' }) });
    const place = { namespace, name: 'patch' };
    // A list of steps and nothing said: the client sends it as a JSON patch.
    const removed = await core.patchNamespacedConfigMap({ ...place, body: [{ op: 'remove', path: '/data/a' }] });
    assert.deepEqual(removed.data, { b: '1' });
    assert.deepEqual((await core.patchNamespacedConfigMap({ ...place, body: { data: { c: '2' } } }, strategic)).data, { b: '1', c: '2' });
    assert.deepEqual((await core.patchNamespacedConfigMap({ ...place, body: { data: { b: null } } }, merge)).data, { c: '2' });
    const applied = configMap('applied', { a: '1' });
    await core.patchNamespacedConfigMap({ namespace, name: 'applied', body: applied, fieldManager: 'one' }, apply);
    applied.data.a = '2';
    const second = { namespace, name: 'applied', body: applied, fieldManager: 'two' };
    await fails(409, 'Conflict', core.patchNamespacedConfigMap(second, apply));
    assert.equal((await core.patchNamespacedConfigMap({ ...second, force: true }, apply)).data.a, '2');
    checked('JSON, strategic and merge patches, server-side apply with conflict and force');
}

async function customObjects() {
    const made = await custom.createNamespacedCustomObject({ ...deployments, body: deployment('js') });
    assert.equal(made.metadata.generation, 1);
    const place = { ...deployments, name: 'js' };
    const body = { spec: { labels: { a: 'b' } } };
    assert.deepEqual((await custom.patchNamespacedCustomObject({ ...place, body }, merge)).spec.labels, { a: 'b' });
    await fails(415, 'UnsupportedMediaType', custom.patchNamespacedCustomObject({ ...place, body }, strategic));
    await fails(422, 'Invalid', custom.patchNamespacedCustomObject({ ...place, body: { spec: { replicas: -1 } } }, merge));
    const scale = await custom.getNamespacedCustomObjectScale(place);
    assert.deepEqual([scale.kind, scale.spec], ['Scale', {}]); // zero is not written
    // Without a version: the controller may just have written the status.
    delete scale.metadata.resourceVersion;
    await custom.replaceNamespacedCustomObjectScale({ ...place, body: scale });
    assert.equal((await custom.listNamespacedCustomObject({ ...deployments })).items.length, 1);
    assert.equal((await custom.getNamespacedCustomObjectStatus(place)).metadata.name, 'js');
    const any = deployment('any');
    await objects.create(any);
    const patched = await objects.patch({ ...any, spec: { image: 'busybox:1.37', replicas: 0 } }, undefined, undefined, 'js', true, k8s.PatchStrategy.ServerSideApply);
    assert.equal(patched.spec.image, 'busybox:1.37');
    assert.equal((await objects.read(any)).spec.image, 'busybox:1.37');
    assert.equal((await objects.list(any.apiVersion, any.kind, namespace)).items.length, 2);
    for (const one of [any, deployment('js')]) await objects.delete(one);
    checked('custom objects, scale, status, objects of any kind');
}

async function watches() {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const from = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
    const seen = [];
    const watch = new k8s.Watch(config);
    const running = await watch.watch(path, { resourceVersion: from, allowWatchBookmarks: true }, (type, object) => seen.push(`${type} ${object.metadata.name}`), () => {});
    await core.createNamespacedConfigMap({ namespace, body: configMap('watched', {}) });
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await until('three events', () => seen.includes('DELETED watched'));
    assert.deepEqual(seen.filter((event) => !event.startsWith('BOOKMARK')), ['ADDED watched', 'DELETED watched']);
    running.abort();

    const labelSelector = 'inform=me';
    const labels = { inform: 'me' };
    await core.createNamespacedConfigMap({ namespace, body: configMap('before', {}, { labels }) });
    const events = [];
    const informer = k8s.makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace, labelSelector }), labelSelector);
    for (const verb of ['add', 'update', 'delete']) informer.on(verb, (found) => events.push(`${verb} ${found.metadata.name}`));
    await informer.start();
    await core.createNamespacedConfigMap({ namespace, body: configMap('after', {}, { labels }) });
    await core.patchNamespacedConfigMap({ namespace, name: 'before', body: { data: { a: '1' } } }, merge);
    // Out of the selection without being deleted.
    await core.patchNamespacedConfigMap({ namespace, name: 'after', body: { metadata: { labels: { inform: null } } } }, merge);
    await until(`the informer's events, of ${events}`, () => events.includes('delete after'));
    assert.deepEqual(events, ['add before', 'add after', 'update before', 'delete after']);
    assert.deepEqual(informer.list(namespace).map((found) => found.metadata.name), ['before']);
    await informer.stop();
    checked('watch from a revision, informer');
}

// By the library that the client uses for exec, with its credentials.
async function sockets() {
    const WebSocket = createRequire(import.meta.url)('ws');
    const credentials = {};
    await config.applyToHTTPSOptions(credentials);
    const from = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
    const seen = [];
    const path = `/api/v1/namespaces/${namespace}/configmaps?watch=true&fieldSelector=metadata.name%3Dsocket&resourceVersion=${from}`;
    const socket = new WebSocket(config.getCurrentCluster().server.replace('https', 'wss') + path, credentials);
    socket.on('message', (text) => seen.push(JSON.parse(text).type));
    await core.createNamespacedConfigMap({ namespace, body: configMap('socket', {}) });
    await core.deleteNamespacedConfigMap({ namespace, name: 'socket' });
    await until('both events', () => seen.includes('DELETED'));
    assert.deepEqual(seen, ['ADDED', 'DELETED']);
    socket.close();
    checked('a watch over WebSocket');
}

async function access() {
    const api = config.makeApiClient(k8s.AuthorizationV1Api);
    const spec = { resourceAttributes: { verb: 'get', resource: 'secrets', namespace } };
    const review = await api.createSelfSubjectAccessReview({ body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec } });
    assert.equal(review.status.allowed, true);
    const leases = config.makeApiClient(k8s.CoordinationV1Api);
    const lease = { metadata: { name: 'js' }, spec: { holderIdentity: 'me', leaseDurationSeconds: 15, renewTime: new k8s.V1MicroTime() } };
    const made = await leases.createNamespacedLease({ namespace, body: lease });
    assert.equal(made.spec.holderIdentity, 'me');
    checked('access review, Lease');
}

for (const check of [discovery, typed, patches, customObjects, watches, sockets, access]) await check();
process.exit(0);
