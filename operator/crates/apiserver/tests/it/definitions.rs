//! Kinds that are defined while the server runs.

mod changes;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api as KubeApi, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use crate::support::{Api, SOON, api, api_beside};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GADGETS: &str = "/apis/shop.example/v1/namespaces/default/gadgets";

fn version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "default": 3},
                "color": {"type": "string"},
            }, "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too large"}]},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}},
    })
}

fn gadgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.shop.example"},
        "spec": {
            "group": "shop.example", "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
            "versions": [version("v1", true)],
        },
    })
}

fn gadget(name: &str) -> Value {
    json!({"apiVersion": "shop.example/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"color": "red"}})
}

fn status_of<'a>(definition: &'a Value, kind: &str) -> &'a str {
    let list = definition["status"]["conditions"].as_array();
    let mut all = list.into_iter().flatten();
    let found = all.find(|found| found["type"] == kind);
    found.map_or("", |found| found["status"].as_str().unwrap())
}

/// Waits for a condition of a definition.
async fn until(api: &Api, name: &str, kind: &str, status: &str) -> Value {
    let path = format!("{DEFINITIONS}/{name}");
    let wait = async {
        loop {
            let definition = api.get(&path).await.is(200);
            if status_of(&definition, kind) == status {
                return definition;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap()
}

async fn define(api: &Api, definition: &Value) -> Value {
    let made = api.post(DEFINITIONS, definition).await.is(201);
    let name = made["metadata"]["name"].as_str().unwrap();
    until(api, name, "Established", "True").await
}

#[tokio::test]
async fn kube_defines_waits_and_uses() {
    let api = api().await;
    let client = api.client();
    let crds: KubeApi<CustomResourceDefinition> = KubeApi::all(client.clone());
    let crd = serde_json::from_value(gadgets()).unwrap();
    crds.create(&PostParams::default(), &crd).await.unwrap();
    let established = await_condition(
        crds.clone(),
        "gadgets.shop.example",
        conditions::is_crd_established(),
    );
    tokio::time::timeout(SOON, established)
        .await
        .unwrap()
        .unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("shop.example", "v1", "Gadget"));
    let gadgets: KubeApi<DynamicObject> = KubeApi::default_namespaced_with(client, &kind);
    let object: DynamicObject = serde_json::from_value(gadget("a")).unwrap();
    let made = gadgets
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(made.data["spec"], json!({"color": "red", "size": 3}));

    let mut large = gadget("b");
    large["spec"]["size"] = json!(10);
    api.post(GADGETS, &large).await.fails(422, "too large");
    let found = api
        .get(&format!("{GADGETS}?fieldSelector=spec.color%3Dred"))
        .await
        .is(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let table = api
        .get_as(GADGETS, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await
        .is(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3]));
    let listed = api.get("/apis/shop.example/v1").await.is(200);
    assert_eq!(listed["resources"][0]["shortNames"], json!(["gd"]));
    let documents = api.get("/openapi/v3/apis/shop.example/v1").await.is(200);
    assert!(documents.to_string().contains("\"Gadget\""));

    crds.delete("gadgets.shop.example", &DeleteParams::default())
        .await
        .unwrap();
    api.until(GADGETS, 404).await;
    api.until(&format!("{DEFINITIONS}/gadgets.shop.example"), 404)
        .await;
    api.get("/apis/shop.example").await.is(404);
    // It comes back empty.
    define(&api, &serde_json::to_value(&crd).unwrap()).await;
    assert_eq!(api.get(GADGETS).await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn objects_go_before_their_definition() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let mut held = gadget("held");
    held["metadata"]["finalizers"] = json!(["shop.example/f"]);
    api.post(GADGETS, &held).await.is(201);
    api.post(GADGETS, &gadget("free")).await.is(201);
    let mut watch = api.watch(&format!("{GADGETS}?watch=true")).await;
    for _ in 0..2 {
        assert_eq!(watch.brief().await.0, "ADDED");
    }
    let path = format!("{DEFINITIONS}/gadgets.shop.example");
    let marked = api.delete(&path).await.is(200);
    assert_eq!(status_of(&marked, "Terminating"), "True");
    assert_eq!(
        marked["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    api.until(&format!("{GADGETS}/free"), 404).await;
    assert_eq!(marked["metadata"]["generation"], 1);
    assert_eq!(
        marked["metadata"]["deletionGracePeriodSeconds"],
        json!(null)
    );
    let ends = "gadgets.shop.example \"late\" is forbidden: create not allowed while custom resource definition is terminating";
    api.post(GADGETS, &gadget("late")).await.fails(403, ends);
    let late = format!("{GADGETS}/late?fieldManager=m");
    let stated = gadget("late").to_string();
    let applied = api.with("PATCH", &late, "application/apply-patch+yaml", &stated);
    applied.await.fails(403, ends);
    let wait = async {
        let going = |found: &Value| found.to_string().contains("InstanceDeletionInProgress");
        while !going(&api.get(&path).await.is(200)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
    let release = json!({"metadata": {"finalizers": null}});
    api.merge(&format!("{GADGETS}/held"), &release)
        .await
        .is(200);
    api.until(&path, 404).await;
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await {
        if event["type"] == "DELETED" {
            seen.push(event["object"]["metadata"]["name"].clone());
        }
    }
    assert_eq!(seen, ["free", "held"], "and then the watch ended");
}

#[tokio::test]
async fn another_server_follows() {
    let api = api().await;
    let beside = api_beside(&api).await;
    define(&api, &gadgets()).await;
    // At once: whoever saw `Established` may go anywhere.
    beside.post(GADGETS, &gadget("a")).await.is(201);
    let late = api_beside(&api).await;
    late.get(&format!("{GADGETS}/a")).await.is(200);
    api.delete(&format!("{DEFINITIONS}/gadgets.shop.example"))
        .await
        .is(200);
    for server in [&api, &beside, &late] {
        server.until(GADGETS, 404).await;
    }
}

#[tokio::test]
async fn names_belong_to_the_first() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let mut other = gadgets();
    other["metadata"]["name"] = json!("gears.shop.example");
    other["spec"]["names"] = json!({"plural": "gears", "kind": "Gear", "shortNames": ["gd"]});
    api.post(DEFINITIONS, &other).await.is(201);
    let waits = until(&api, "gears.shop.example", "NamesAccepted", "False").await;
    assert_eq!(status_of(&waits, "Established"), "False");
    let gears = GADGETS.replace("gadgets", "gears");
    api.get(&gears).await.is(404);
    // One that goes gives its names away, and so does one that takes others.
    let first = format!("{DEFINITIONS}/gadgets.shop.example");
    api.delete(&first).await.is(200);
    until(&api, "gears.shop.example", "Established", "True").await;
    api.get(&gears).await.is(200);
    api.until(&first, 404).await;
    api.post(DEFINITIONS, &gadgets()).await.is(201);
    until(&api, "gadgets.shop.example", "NamesAccepted", "False").await;
    let other_names = json!({"spec": {"names": {"shortNames": ["gr"]}}});
    api.merge(&format!("{DEFINITIONS}/gears.shop.example"), &other_names)
        .await
        .is(200);
    until(&api, "gadgets.shop.example", "Established", "True").await;
}

#[tokio::test]
async fn a_deprecated_version_warns_and_a_status_has_its_defaults() {
    let api = api().await;
    let mut definition = gadgets();
    let version = &mut definition["spec"]["versions"][0];
    version["deprecated"] = json!(true);
    let schema = &mut version["schema"]["openAPIV3Schema"];
    schema["properties"]["status"]["default"] = json!({"phase": "Pending"});
    schema["require"] = json!(["spec"]);
    let strict = format!("{DEFINITIONS}?fieldValidation=Strict");
    let unknown = "unknown field \"spec.versions[0].schema.openAPIV3Schema.require\"";
    api.post(&strict, &definition).await.fails(400, unknown);
    define(&api, &definition).await;
    let path = format!("{DEFINITIONS}/gadgets.shop.example");
    let stored = api.get(&path).await.is(200);
    assert!(!stored.to_string().contains("\"require\""));

    let created = api.post(GADGETS, &gadget("a")).await;
    assert_eq!(
        created.headers["warning"],
        "299 - \"shop.example/v1 Gadget is deprecated\""
    );
    assert_eq!(created.is(201)["status"], json!({"phase": "Pending"}));
    let own = json!([{"op": "add", "path": "/spec/versions/0/deprecationWarning", "value": "use Things"}]);
    api.with(
        "PATCH",
        &path,
        "application/json-patch+json",
        &own.to_string(),
    )
    .await
    .is(200);
    let wait = async {
        while api.get(GADGETS).await.headers["warning"] != "299 - \"use Things\"" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn definitions_of_the_community_say_whether_they_are_approved() {
    let api = api().await;
    let mut definition = gadgets();
    definition["metadata"] = json!({"name": "gadgets.shop.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://example.com/1"}});
    definition["spec"]["group"] = json!("shop.k8s.io");
    api.post(DEFINITIONS, &definition).await.is(201);
    let found = until(&api, "gadgets.shop.k8s.io", "Established", "True").await;
    let first = &found["status"]["conditions"][0];
    assert_eq!(first["type"], "KubernetesAPIApprovalPolicyConformant");
    assert_eq!(
        (&first["status"], &first["reason"]),
        (&json!("True"), &json!("ApprovedAnnotation"))
    );
    assert_eq!(first["message"], "approved in https://example.com/1");
    let path = format!("{DEFINITIONS}/gadgets.shop.k8s.io");
    let not =
        json!({"metadata": {"annotations": {"api-approved.kubernetes.io": "unapproved, a test"}}});
    api.merge(&path, &not).await.is(200);
    let kind = "KubernetesAPIApprovalPolicyConformant";
    until(&api, "gadgets.shop.k8s.io", kind, "False").await;
}

#[tokio::test]
async fn bad_definitions_are_refused() {
    let api = api().await;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let cases: &[(&str, Value, &str)] = &[
        (
            "/metadata/name",
            json!("other.shop.example"),
            "metadata.name: Invalid value: \"other.shop.example\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            "/spec/group",
            json!("shop"),
            "spec.group: Invalid value: \"shop\": should be a domain with at least one dot",
        ),
        (
            "/spec/group",
            json!("obiente.cloud"),
            "spec.group: Forbidden: the group \"obiente.cloud\" belongs to the server",
        ),
        (
            "/spec/group",
            json!("apps.k8s.io"),
            "must have approval annotation",
        ),
        (
            "/spec/scope",
            json!("Galaxy"),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/names/plural",
            json!("Gadgets"),
            "spec.names.plural: Invalid value: \"Gadgets\"",
        ),
        (
            "/spec/versions/0/name",
            json!("1"),
            "spec.versions[0].name: Invalid value: \"1\"",
        ),
        (
            "/spec/versions/0/storage",
            json!(false),
            ": must have exactly one version marked as storage version",
        ),
        (
            "/spec/versions/0/schema",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            schema,
            json!({"type": "object", "properties": {"spec": {}}}),
            "spec.validation.openAPIV3Schema.properties[spec].type: Required value",
        ),
        (
            schema,
            json!({"type": "string"}),
            "spec.validation.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/type",
            json!("text"),
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\"",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
            json!("a"),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value",
        ),
        (
            "/spec/versions/0/selectableFields/0/jsonPath",
            json!(".spec.none"),
            "jsonPath: Invalid value: \".spec.none\"",
        ),
        (
            "/spec/versions/0/subresources",
            json!({"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.n"}}),
            "spec.subresources.scale.specReplicasPath: Invalid value: \".a\": should be a json path under .spec",
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            "spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\"",
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            "spec.preserveUnknownFields: Invalid value: true",
        ),
    ];
    for (place, value, expected) in cases {
        let mut definition = gadgets();
        let (parent, field) = place.rsplit_once('/').unwrap();
        definition.pointer_mut(parent).unwrap()[field] = value.clone();
        api.post(DEFINITIONS, &definition)
            .await
            .fails(422, expected);
    }
    api.get(&format!("{DEFINITIONS}/gadgets.shop.example"))
        .await
        .is(404);
}

#[tokio::test]
async fn our_own_are_there_and_stay() {
    let api = api().await;
    let path = format!("{DEFINITIONS}/deployments.obiente.cloud");
    let own = api.get(&path).await.is(200);
    assert_eq!(status_of(&own, "Established"), "True");
    assert_eq!(own["status"]["storedVersions"], json!(["v1alpha1"]));
    api.merge(&path, &json!({"spec": {"scope": "Cluster"}}))
        .await
        .fails(422, "spec: Forbidden: this kind is part of the server");
    api.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .is(200);
    api.delete(&path)
        .await
        .fails(403, "this kind is part of the server and cannot be deleted");
    // A start changes nothing.
    let before = api.get(&path).await.is(200);
    let _beside = api_beside(&api).await;
    assert_eq!(api.get(&path).await.is(200), before);
    let crd: CustomResourceDefinition = serde_json::from_value(before).unwrap();
    let generated = api_types::crds()
        .into_iter()
        .find(|own| own.metadata.name.as_deref() == Some("deployments.obiente.cloud"));
    assert_eq!(crd.spec.versions, generated.unwrap().spec.versions);
}

/// As large as the definitions that are really out there (Argo CD's are about half a megabyte).
#[tokio::test]
async fn a_large_definition_in_yaml() {
    let api = api().await;
    let mut definition = gadgets();
    let field = json!({"type": "object", "description": "d".repeat(200), "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "value": {"x-kubernetes-int-or-string": true}}}},
        "default": {"type": "string", "default": "x"},
    }});
    let spec = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        ["properties"];
    for n in 0..1500 {
        spec[format!("field{n}")] = field.clone();
    }
    let yaml = serde_yaml::to_string(&definition).unwrap();
    assert!(yaml.len() > 500_000, "{}", yaml.len());
    api.with("POST", DEFINITIONS, "application/yaml", &yaml)
        .await
        .is(201);
    let stored = until(&api, "gadgets.shop.example", "Established", "True").await;
    let versions = &stored["spec"]["versions"];
    assert_eq!(versions, &definition["spec"]["versions"], "nothing is lost");
    let mut object = gadget("a");
    object["spec"]["field7"] = json!({"list": [{"name": "n", "value": "1"}], "other": 1});
    let made = api.post(GADGETS, &object).await.is(201);
    assert_eq!(
        made["spec"]["field7"],
        json!({"list": [{"name": "n", "value": "1"}], "default": "x"})
    );
}
