//! `ResourceQuota`, also from two servers at once.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, DEPLOYMENTS, WIDGETS, api, api_beside, widget};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";

fn quota(name: &str, hard: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"hard": hard}})
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn deployment(name: &str, replicas: u32, resources: Value) -> Value {
    json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"image": "busybox", "replicas": replicas, "resources": resources},
    })
}

fn resources(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

async fn used(api: &Api) -> Value {
    api.get(QUOTA).await.is(200)["status"]["used"].clone()
}

async fn number(api: &Api, path: &str) -> usize {
    api.get(path).await.is(200)["items"]
        .as_array()
        .unwrap()
        .len()
}

#[tokio::test]
async fn two_servers_make_exactly_as_many_as_allowed() {
    let api = api().await;
    let beside = api_beside(&api).await;
    api.post(QUOTAS, &quota("q", json!({"configmaps": 20})))
        .await
        .is(201);
    api.post(QUOTAS, &quota("r", json!({"count/configmaps": "30"})))
        .await
        .is(201);
    let servers = [&api, &beside];
    let creates = (0..64).map(|n| async move {
        let made = servers[n % 2].post(CONFIG_MAPS, &named(&format!("c{n}"))).await;
        match made.code.as_u16() {
            201 => true,
            403 => {
                let expected = "exceeded quota: q, requested: configmaps=1, used: configmaps=20, limited: configmaps=20";
                let message = made.body["message"].as_str().unwrap().to_owned();
                assert!(message.ends_with(expected), "{message}");
                false
            }
            code => panic!("{code}: {}", made.body),
        }
    });
    let made = join_all(creates)
        .await
        .into_iter()
        .filter(|made| *made)
        .count();
    assert_eq!((made, number(&api, CONFIG_MAPS).await), (20, 20));
    for server in servers {
        assert_eq!(used(server).await, json!({"configmaps": "20"}));
    }
    // Creations and deletions side by side: the sum is right afterwards, and at no time too large.
    let churn = (0..64).map(|n| async move {
        let server = servers[n % 2];
        let one = format!("{CONFIG_MAPS}/c{n}");
        if server.delete(&one).await.code == 200 {
            server.post(CONFIG_MAPS, &named(&format!("d{n}"))).await;
        }
    });
    let mut watch = api.watch(&format!("{QUOTAS}?watch=true")).await;
    join_all(churn).await;
    let left = number(&api, CONFIG_MAPS).await.to_string();
    assert_eq!(used(&beside).await["configmaps"], left);
    let last = api.get(&format!("{QUOTAS}/q")).await.is(200);
    loop {
        let seen = watch.next().await.unwrap();
        let text = seen["object"]["status"]["used"]["configmaps"].as_str();
        let seen_used: usize = text.unwrap_or("0").parse().unwrap();
        assert!(seen_used <= 20);
        if seen["object"]["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"] {
            break;
        }
    }
}

#[tokio::test]
async fn a_quota_made_in_the_midst_counts_everything() {
    let api = api().await;
    let beside = api_beside(&api).await;
    for round in 0..5 {
        let (space, servers) = (format!("n{round}"), [&api, &beside]);
        api.post("/api/v1/namespaces", &named(&space)).await.is(201);
        let paths = [QUOTAS, CONFIG_MAPS].map(|path| path.replace("default", &space));
        let writes = (0..40).map(|n| {
            let path = &paths[1];
            async move {
                let server = servers[n % 2];
                let name = format!("c{n}");
                let code = server.post(path, &named(&name)).await.code;
                if n % 3 == 0 && code == 201 {
                    servers[(n + 1) % 2].delete(&format!("{path}/{name}")).await;
                }
            }
        });
        let limit = async {
            let body = quota("q", json!({"configmaps": 10}));
            api.post(&paths[0], &body).await.is(201);
        };
        futures::future::join(join_all(writes), limit).await;
        let found = beside.get(&format!("{}/q", paths[0])).await.is(200);
        let left = number(&beside, &paths[1]).await.to_string();
        assert_eq!(found["status"]["used"], json!({"configmaps": left}));
    }
}

#[tokio::test]
async fn deployments_take_replicas_times_resources() {
    let api = api().await;
    let hard = json!({
        "cpu": "1", "requests.memory": "512Mi", "limits.cpu": 2, "limits.memory": "1Gi", "pods": "5",
        "count/deployments.obiente.cloud": "3",
    });
    let made = api.post(QUOTAS, &quota("q", hard)).await.is(201);
    let hard = json!({
        "cpu": "1", "requests.memory": "512Mi", "limits.cpu": "2", "limits.memory": "1Gi", "pods": "5",
        "count/deployments.obiente.cloud": "3",
    });
    assert_eq!(
        (&made["spec"]["hard"], &made["status"]["hard"]),
        (&hard, &hard)
    );

    let small = resources("250m", "64Mi");
    api.post(DEPLOYMENTS, &deployment("a", 3, small.clone()))
        .await
        .is(201);
    let three = json!({
        "cpu": "750m", "requests.memory": "192Mi", "limits.cpu": "750m", "limits.memory": "192Mi", "pods": "3",
        "count/deployments.obiente.cloud": "1",
    });
    assert_eq!(used(&api).await, three);
    let too_much = "exceeded quota: q, requested: cpu=500m, used: cpu=750m, limited: cpu=1";
    let b = deployment("b", 2, small.clone());
    api.post(DEPLOYMENTS, &b).await.fails(
        403,
        &format!("deployments.obiente.cloud \"b\" is forbidden: {too_much}"),
    );
    api.post(&format!("{DEPLOYMENTS}?dryRun=All"), &b)
        .await
        .fails(403, too_much);
    let vague = deployment("b", 1, json!({"requests": {"cpu": "1m"}}));
    api.post(DEPLOYMENTS, &vague).await.fails(
        403,
        "failed quota: q: must specify limits.cpu for: b; limits.memory for: b; requests.memory for: b",
    );
    let mut global = deployment("b", 1, small.clone());
    global["spec"]["mode"] = json!("Global");
    global["spec"].as_object_mut().unwrap().remove("replicas");
    api.post(DEPLOYMENTS, &global)
        .await
        .fails(403, "failed quota: q: must not run in mode Global");
    assert_eq!(used(&api).await, three);

    // Changes count by their difference, by whatever way they come.
    let one = format!("{DEPLOYMENTS}/a");
    api.merge(&format!("{one}/scale"), &json!({"spec": {"replicas": 4}}))
        .await
        .is(200);
    assert_eq!(used(&api).await["cpu"], "1");
    let more = json!({"spec": {"replicas": 5}});
    let refused = "requested: cpu=250m, used: cpu=1, limited: cpu=1";
    api.merge(&format!("{one}/scale"), &more)
        .await
        .fails(403, refused);
    api.merge(&one, &more).await.fails(403, refused);
    api.merge(&format!("{one}?dryRun=All"), &more)
        .await
        .fails(403, refused);
    let less = json!({"spec": {"replicas": 1, "resources": resources("500m", "128Mi")}});
    api.merge(&one, &less).await.is(200);
    let after = used(&api).await;
    assert_eq!(
        (&after["cpu"], &after["limits.memory"], &after["pods"]),
        (&json!("500m"), &json!("128Mi"), &json!("1"))
    );
    api.merge(&one, &json!({"spec": {"resources": null}}))
        .await
        .fails(403, "must specify cpu for: a");
    // What is observed, and what does not count, is written without a question.
    api.merge(
        &format!("{one}/status"),
        &json!({"status": {"desiredReplicas": 9}}),
    )
    .await
    .is(200);
    api.merge(&one, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .is(200);
    assert_eq!(used(&api).await, after);

    // It counts until it is gone.
    api.delete(&one).await.is(200);
    assert_eq!(used(&api).await, after);
    api.merge(&one, &json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    let nothing = used(&api).await;
    assert!(
        nothing
            .as_object()
            .unwrap()
            .values()
            .all(|used| used == "0"),
        "{nothing}"
    );
}

#[tokio::test]
async fn a_quota_that_comes_late_blocks_only_what_takes_more() {
    let api = api().await;
    for name in ["a", "b", "c"] {
        api.post(WIDGETS, &widget(name)).await.is(201);
    }
    let vague = deployment("web", 2, Value::Null);
    let made = api.post(DEPLOYMENTS, &vague).await;
    let web = made.is(201);
    assert!(web["spec"].get("resources").is_none());
    let hard = json!({"count/widgets.test.example": 1, "requests.cpu": "1"});
    let made = api.post(QUOTAS, &quota("q", hard)).await.is(201);
    let first = json!({"count/widgets.test.example": "3", "requests.cpu": "0"});
    assert_eq!(made["status"]["used"], first);
    api.post(WIDGETS, &widget("d")).await.fails(
        403,
        "used: count/widgets.test.example=3, limited: count/widgets.test.example=1",
    );
    api.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"color": "blue"}}))
        .await
        .is(200);
    // What never said how much it takes may go down, and change otherwise, but not up.
    let one = format!("{DEPLOYMENTS}/web");
    api.merge(&one, &json!({"spec": {"replicas": 1}}))
        .await
        .is(200);
    api.merge(&one, &json!({"spec": {"replicas": 2}}))
        .await
        .fails(403, "must specify requests.cpu for: web");
    for name in ["a", "b", "c"] {
        api.delete(&format!("{WIDGETS}/{name}")).await.is(200);
    }
    api.post(WIDGETS, &widget("d")).await.is(201);

    // What it counts changes: counted anew. What a client says was used, is not believed.
    let hard = json!({"spec": {"hard": {"requests.cpu": null, "secrets": "5"}}});
    let changed = api.merge(QUOTA, &hard).await.is(200);
    let now = json!({"count/widgets.test.example": "1", "secrets": "0"});
    assert_eq!(changed["status"]["used"], now);
    let lie = json!({"status": {"used": {"secrets": "4"}}});
    let answer = api.merge(&format!("{QUOTA}/status"), &lie).await.is(200);
    assert_eq!(answer["status"]["used"], now);
    let beside = api_beside(&api).await;
    assert_eq!(used(&beside).await, now);
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let api = api().await;
    for name in [
        "limits.gpu",
        "count/services",
        "count/nodes.obiente.cloud",
        "count/selfsubjectreviews.authentication.k8s.io",
        "serviceaccounts",
    ] {
        let expected = format!(
            "spec.hard[{name}]: Invalid value: \"{name}\": must be a standard resource for quota"
        );
        api.post(QUOTAS, &quota("q", json!({name: "1"})))
            .await
            .fails(422, &expected);
    }
    let mut scoped = quota("q", json!({"pods": "1"}));
    scoped["spec"]["scopes"] = json!(["BestEffort"]);
    api.post(QUOTAS, &scoped)
        .await
        .fails(422, "spec.scopes: Forbidden: scopes are not supported");
    // What there never is here has a quota like anything else.
    let hard = json!({"services": "2", "persistentvolumeclaims": "4", "requests.storage": "10Gi"});
    let never = api
        .post(QUOTAS, &quota("never", hard.clone()))
        .await
        .is(201);
    let none = json!({"services": "0", "persistentvolumeclaims": "0", "requests.storage": "0"});
    assert_eq!(never["status"], json!({"hard": hard, "used": none}));
    api.delete(&format!("{QUOTAS}/never")).await.is(200);
    // Nothing to count is a quota, too.
    let empty = api.post(QUOTAS, &named("empty")).await.is(201);
    assert_eq!(empty["status"], json!({}));
    api.post(CONFIG_MAPS, &named("c")).await.is(201);
    // Quotas count each other, and themselves.
    let hard = json!({"resourcequotas": "2", "count/events.events.k8s.io": "0"});
    api.post(QUOTAS, &quota("q", hard)).await.is(201);
    assert_eq!(used(&api).await["resourcequotas"], "2");
    api.post(QUOTAS, &named("r"))
        .await
        .fails(403, "exceeded quota: q, requested: resourcequotas=1");
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"name": "a"}, "message": "m"});
    let events = "/api/v1/namespaces/default/events";
    api.post(events, &event)
        .await
        .fails(403, "exceeded quota: q");
    api.delete(&format!("{QUOTAS}/empty")).await.is(200);
    assert_eq!(used(&api).await["resourcequotas"], "1");
    let table = api
        .get_as(QUOTAS, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await
        .is(200);
    let names: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].clone())
        .collect();
    assert_eq!(names, ["Name", "Request", "Limit", "Age"]);
    assert_eq!(
        table["rows"][0]["cells"][1],
        "count/events.events.k8s.io: 0/0, resourcequotas: 1/2"
    );
}

#[tokio::test]
async fn owned_objects_and_whole_namespaces_give_back_what_they_took() {
    let api = api().await;
    let owner = api.post(CONFIG_MAPS, &named("owner")).await.is(201);
    api.post(QUOTAS, &quota("q", json!({"secrets": 2, "configmaps": 1})))
        .await
        .is(201);
    let owned = json!({"metadata": {"name": "s", "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
    }]}});
    let secrets = "/api/v1/namespaces/default/secrets";
    api.post(secrets, &owned).await.is(201);
    assert_eq!(used(&api).await, json!({"secrets": "1", "configmaps": "1"}));
    api.delete(&format!("{CONFIG_MAPS}/owner")).await.is(200);
    api.until(&format!("{secrets}/s"), 404).await;
    assert_eq!(used(&api).await, json!({"secrets": "0", "configmaps": "0"}));

    api.post("/api/v1/namespaces", &named("shop")).await.is(201);
    let path = |path: &str| path.replace("default", "shop");
    api.post(
        &path(QUOTAS),
        &quota("q", json!({"count/widgets.test.example": 9})),
    )
    .await
    .is(201);
    for n in 0..9 {
        api.post(&path(WIDGETS), &widget(&format!("w{n}")))
            .await
            .is(201);
    }
    api.delete("/api/v1/namespaces/shop").await.is(200);
    api.until("/api/v1/namespaces/shop", 404).await;
    assert_eq!(number(&api, &path(QUOTAS)).await, 0);
}
