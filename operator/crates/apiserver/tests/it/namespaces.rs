//! The life of a namespace.

use serde_json::{Value, json};

use crate::support::{WIDGETS, api, widget};

const NAMESPACES: &str = "/api/v1/namespaces";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[tokio::test]
async fn it_begins() {
    let api = api().await;
    let list = api.get(NAMESPACES).await.is(200);
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["default", "kube-system"]);
    let made = api.post(NAMESPACES, &namespace("shop")).await.is(201);
    assert_eq!(
        made["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "shop"})
    );
    assert_eq!(made["status"], json!({"phase": "Active"}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    assert!(made["metadata"].get("generation").is_none());
    api.post(NAMESPACES, &namespace("a.b"))
        .await
        .fails(422, "metadata.name: Invalid value: \"a.b\"");
    api.delete(&format!("{NAMESPACES}/default"))
        .await
        .fails(403, "this namespace may not be deleted");
    let missing = WIDGETS.replace("default", "nowhere");
    api.post(&missing, &widget("a"))
        .await
        .fails(404, "namespaces \"nowhere\" not found");
    api.post(&format!("{missing}?dryRun=All"), &widget("a"))
        .await
        .fails(404, "namespaces \"nowhere\" not found");
}

#[tokio::test]
async fn it_ends_with_its_contents() {
    let api = api().await;
    api.post(NAMESPACES, &namespace("shop")).await.is(201);
    let widgets = WIDGETS.replace("default", "shop");
    let mut held = widget("held");
    held["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(&widgets, &held).await.is(201);
    api.post(&widgets, &widget("free")).await.is(201);
    let secrets = format!("{NAMESPACES}/shop/secrets");
    api.post(&secrets, &json!({"metadata": {"name": "s"}}))
        .await
        .is(201);

    let marked = api.delete(&format!("{NAMESPACES}/shop")).await.is(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    api.post(&widgets, &widget("late")).await.fails(
        403,
        "unable to create new content in namespace shop because it is being terminated",
    );
    api.until(&format!("{widgets}/free"), 404).await;
    api.until(&format!("{secrets}/s"), 404).await;
    let mut watch = api.watch(&format!("{NAMESPACES}?watch=true")).await;
    let message = loop {
        let event = watch.next().await.unwrap();
        let found = &event["object"]["status"]["conditions"][0]["message"];
        if let Some(message) = found.as_str() {
            break message.to_owned();
        }
    };
    assert!(message.contains("widgets.test.example/held"), "{message}");

    api.merge(
        &format!("{widgets}/held"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .await
    .is(200);
    api.until(&format!("{NAMESPACES}/shop"), 404).await;
    api.post(NAMESPACES, &namespace("shop")).await.is(201);
}

#[tokio::test]
async fn nothing_slips_into_a_namespace_that_goes() {
    let api = api().await;
    for round in 0..5 {
        let name = format!("n{round}");
        api.post(NAMESPACES, &namespace(&name)).await.is(201);
        let widgets = WIDGETS.replace("default", &name);
        let creates = (0..20).map(|n| {
            let (api, widgets) = (&api, &widgets);
            async move {
                let code = api
                    .post(widgets, &widget(&format!("w{n}")))
                    .await
                    .code
                    .as_u16();
                assert!([201, 403, 404].contains(&code), "{code}");
            }
        });
        let delete = async {
            api.delete(&format!("{NAMESPACES}/{name}")).await.is(200);
        };
        futures::future::join(futures::future::join_all(creates), delete).await;
        api.until(&format!("{NAMESPACES}/{name}"), 404).await;
        let left = api.get(&widgets).await.is(200);
        assert_eq!(left["items"], json!([]));
    }
}
