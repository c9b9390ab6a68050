//! kube's own runtime against our server: watcher, reflector, finalizer and Controller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::support::{SOON, api, widget};

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("test.example", "v1", "Widget"))
}

fn widgets(client: Client) -> Api<DynamicObject> {
    Api::default_namespaced_with(client, &resource())
}

fn object(name: &str) -> DynamicObject {
    serde_json::from_value(widget(name)).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

async fn until<F: Future<Output = bool>>(check: impl Fn() -> F) {
    soon(async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn reflectors_follow_by_list_and_by_stream() {
    let api = api().await;
    let widgets = widgets(api.client());
    widgets
        .create(&PostParams::default(), &object("a"))
        .await
        .unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let writer = reflector::store::Writer::<DynamicObject>::new(resource());
        let reader = writer.as_reader();
        let stream = watcher(widgets.clone(), config)
            .default_backoff()
            .reflect(writer)
            .applied_objects();
        let run = tokio::spawn(stream.for_each(|result| async move { drop(result.unwrap()) }));
        soon(reader.wait_until_ready()).await.unwrap();
        let has = |name: &'static str| {
            reader
                .get(&ObjectRef::new_with(name, resource()).within("default"))
                .is_some()
        };
        assert!(has("a") && !has("b"));
        widgets
            .create(&PostParams::default(), &object("b"))
            .await
            .unwrap();
        until(|| async { has("b") }).await;
        widgets.delete("b", &DeleteParams::default()).await.unwrap();
        until(|| async { !has("b") }).await;
        run.abort();
    }
}

struct Context {
    client: Client,
}

async fn reconcile(
    found: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let api: Api<DynamicObject> = Api::namespaced_with(
        context.client.clone(),
        &found.namespace().unwrap_or_default(),
        &resource(),
    );
    finalizer(&api, "test.example/cleanup", found, |event| async {
        if let Event::Apply(object) = event {
            let status = json!({"status": {"seen": object.metadata.generation.unwrap_or_default().to_string()}});
            api.patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
        }
        Ok(Action::await_change())
    })
    .await
}

#[tokio::test]
async fn a_controller_with_finalizers_converges_and_rests() {
    let server = api().await;
    let widgets = widgets(server.client());
    let context = Arc::new(Context {
        client: server.client(),
    });
    let controller = Controller::new_with(widgets.clone(), watcher::Config::default(), resource());
    let run = controller.run(
        reconcile,
        |_, _, _| Action::requeue(Duration::from_millis(100)),
        context,
    );
    let run = tokio::spawn(run.for_each(|_| async {}));
    for n in 0..10 {
        widgets
            .create(&PostParams::default(), &object(&format!("w{n}")))
            .await
            .unwrap();
    }
    let seen = |generation: i64| {
        let (widgets, wanted) = (widgets.clone(), generation.to_string());
        async move {
            let list = widgets.list(&Default::default()).await.unwrap();
            list.items.len() == 10
                && list.iter().all(|w| {
                    w.data["status"]["seen"].as_str() == Some(wanted.as_str())
                        && w.finalizers() == ["test.example/cleanup"]
                })
        }
    };
    until(|| seen(1)).await;
    for n in 0..10 {
        let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
        widgets
            .patch(&format!("w{n}"), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    until(|| seen(2)).await;
    // At rest: the same status again makes no revision.
    let before = server.store.revision();
    let status = Patch::Merge(json!({"status": {"seen": "2"}}));
    widgets
        .patch_status("w0", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(server.store.revision(), before);
    for n in 0..10 {
        widgets
            .delete(&format!("w{n}"), &DeleteParams::default())
            .await
            .unwrap();
    }
    until(|| async {
        widgets
            .list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    })
    .await;
    run.abort();
}

#[tokio::test]
async fn typed_clients_work() {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    let server = api().await;
    let namespaces: Api<Namespace> = Api::all(server.client());
    assert_eq!(
        namespaces
            .get("default")
            .await
            .unwrap()
            .status
            .unwrap()
            .phase
            .as_deref(),
        Some("Active")
    );
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let map = ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some("c".into()),
            ..Default::default()
        },
        data: Some(BTreeMap::from([("a".to_owned(), "b".to_owned())])),
        ..Default::default()
    };
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    let mut entry = maps.entry("c").await.unwrap().or_insert(ConfigMap::default);
    entry
        .get_mut()
        .data
        .get_or_insert_default()
        .insert("x".into(), "y".into());
    entry.commit(&PostParams::default()).await.unwrap();
    let stale = maps
        .replace("c", &PostParams::default(), &made)
        .await
        .unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.is_conflict()));
    let missing = maps.get("d").await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.is_not_found()));
    let events: Vec<_> = soon(
        watcher(maps, watcher::Config::default())
            .take(3)
            .try_collect(),
    )
    .await
    .unwrap();
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_recorder_writes_what_describe_reads() {
    use kube::runtime::events::{Event as Record, EventType, Recorder, Reporter};
    let server = api().await;
    let made = widgets(server.client())
        .create(&PostParams::default(), &object("a"))
        .await
        .unwrap();
    let reporter = Reporter {
        controller: "test".into(),
        instance: None,
    };
    let recorder = Recorder::new(server.client(), reporter);
    let record = Record {
        type_: EventType::Normal,
        reason: "Seen".into(),
        note: Some("text".into()),
        action: "Look".into(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder
            .publish(&record, &made.object_ref(&resource()))
            .await
            .unwrap();
    }
    let path = format!(
        "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Da,involvedObject.kind%3DWidget,involvedObject.uid%3D{}",
        made.uid().unwrap()
    );
    let list = server.get(&path).await.is(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list:#}");
    assert_eq!(
        (&items[0]["message"], &items[0]["series"]["count"]),
        (&json!("text"), &json!(2))
    );
}
