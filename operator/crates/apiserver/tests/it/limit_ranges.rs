//! `LimitRange`.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, api};

const LIMITS: &str = "/api/v1/namespaces/default/limitranges";

fn deployment(name: &str, resources: &Value) -> Value {
    json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"image": "busybox", "resources": resources},
    })
}

#[tokio::test]
async fn limits_of_tasks() {
    let api = api().await;
    let free = api
        .post(DEPLOYMENTS, &deployment("free", &Value::Null))
        .await
        .is(201);
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "1"}, "default": {"memory": "256Mi"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "Pod", "min": {"memory": 67108864}},
    ]}});
    let made = api.post(LIMITS, &range).await.is(201);
    assert_eq!(
        made["spec"]["limits"],
        json!([
            {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1", "memory": "256Mi"}, "defaultRequest": {"cpu": "100m", "memory": "256Mi"}},
            {"type": "Pod", "min": {"memory": "67108864"}},
        ])
    );

    // Filled in, and owned by nobody.
    let made = api
        .post(DEPLOYMENTS, &deployment("web", &Value::Null))
        .await
        .is(201);
    let all = json!({"limits": {"cpu": "1", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}});
    assert_eq!(made["spec"]["resources"], all);
    let managers = made["metadata"]["managedFields"].to_string();
    assert!(
        managers.contains("f:image") && !managers.contains("f:resources"),
        "{managers}"
    );
    // A manifest without resources changes nothing, however it is sent.
    let one = format!("{DEPLOYMENTS}/web");
    let mut again = deployment("web", &Value::Null);
    again["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let put = api.put(&one, &again).await.is(200);
    let apply = "application/apply-patch+yaml";
    let manifest = deployment("web", &Value::Null);
    let applied = api
        .with(
            "PATCH",
            &format!("{one}?fieldManager=me&force=true"),
            apply,
            &manifest.to_string(),
        )
        .await
        .is(200);
    for answer in [put, applied] {
        assert_eq!(answer["spec"]["resources"], all);
        assert_eq!(answer["metadata"]["generation"], 1);
    }

    // Bounds.
    let large = json!({"limits": {"cpu": "2"}, "requests": {"memory": "5Mi"}});
    api.post(DEPLOYMENTS, &deployment("large", &large)).await.fails(
        403,
        "deployments.obiente.cloud \"large\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, \
         minimum memory usage per Pod is 67108864, but request is 5Mi]",
    );
    let grown = json!({"spec": {"resources": {"limits": {"cpu": "1500m"}}}});
    api.merge(&one, &grown).await.fails(
        403,
        "maximum cpu usage per Container is 1, but limit is 1500m",
    );

    // What was there before, is left alone until its resources change.
    assert!(free["spec"].get("resources").is_none());
    let free = format!("{DEPLOYMENTS}/free");
    let scaled = api
        .merge(&free, &json!({"spec": {"replicas": 2}}))
        .await
        .is(200);
    assert!(scaled["spec"].get("resources").is_none());
    let touched = api
        .merge(
            &free,
            &json!({"spec": {"resources": {"limits": {"cpu": "50m"}}}}),
        )
        .await
        .is(200);
    assert_eq!(
        touched["spec"]["resources"],
        json!({"limits": {"cpu": "50m", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "256Mi"}})
    );
    // Other kinds are none of its business, and defaults satisfy a quota.
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "1Gi"}}});
    api.post("/api/v1/namespaces/default/resourcequotas", &quota)
        .await
        .is(201);
    api.post(DEPLOYMENTS, &deployment("more", &Value::Null))
        .await
        .is(201);
    api.post(DEPLOYMENTS, &deployment("most", &Value::Null)).await.fails(
        403,
        "exceeded quota: q, requested: limits.memory=256Mi, used: limits.memory=1Gi, limited: limits.memory=1Gi",
    );
    let volume =
        json!({"metadata": {"name": "v"}, "spec": {"limits": [{"type": "PersistentVolumeClaim"}]}});
    api.post(LIMITS, &volume).await.fails(
        422,
        "spec.limits[0].type: Unsupported value: \"PersistentVolumeClaim\"",
    );
}
