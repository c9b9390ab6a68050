//! Changes as they happen.

use serde_json::json;

use crate::support::{WIDGETS, api, version, widget};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn every_change_in_order() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let list = api.get(WIDGETS).await.is(200);
    let mut now = api.watch(&format!("{WIDGETS}?watch=true")).await;
    let mut after = api
        .watch(&format!(
            "{WIDGETS}?watch=1&resourceVersion={}",
            version(&list)
        ))
        .await;
    api.post(WIDGETS, &widget("b")).await.is(201);
    let path = format!("{WIDGETS}/a");
    let changed = api
        .merge(&path, &json!({"spec": {"color": "blue"}}))
        .await
        .is(200);
    api.merge(&path, &json!({"spec": {"color": "blue"}}))
        .await
        .is(200);
    api.delete(&path).await.is(200);
    assert_eq!(now.brief().await, pair("ADDED", "a"));
    for events in [&mut now, &mut after] {
        assert_eq!(events.brief().await, pair("ADDED", "b"));
        let event = events.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]),
            (&json!("MODIFIED"), &changed)
        );
        let event = events.next().await.unwrap();
        assert_eq!(event["type"], "DELETED");
        assert_eq!(event["object"]["spec"]["color"], "blue");
        assert!(version(&event["object"]) > version(&changed));
    }
}

#[tokio::test]
async fn crossing_a_selector_appears_and_disappears() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let mut blue = api
        .watch(&format!(
            "{WIDGETS}?watch=true&fieldSelector=spec.color%3Dblue"
        ))
        .await;
    let mut named = api
        .watch(&format!(
            "{WIDGETS}?watch=true&fieldSelector=metadata.name%3Db"
        ))
        .await;
    for color in ["blue", "green"] {
        api.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"color": color}}))
            .await
            .is(200);
    }
    api.post(WIDGETS, &widget("b")).await.is(201);
    assert_eq!(blue.brief().await, pair("ADDED", "a"));
    assert_eq!(blue.brief().await, pair("DELETED", "a"));
    assert_eq!(named.brief().await, pair("ADDED", "b"));
}

#[tokio::test]
async fn a_watch_list_ends_its_initial_events() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = api.watch(&format!("{WIDGETS}?{query}")).await;
    assert_eq!(events.brief().await, pair("ADDED", "a"));
    let end = events.next().await.unwrap();
    assert_eq!(
        (&end["type"], &end["object"]["kind"]),
        (&json!("BOOKMARK"), &json!("Widget"))
    );
    assert_eq!(
        end["object"]["metadata"]["annotations"],
        json!({"k8s.io/initial-events-end": "true"})
    );
    assert!(version(&end["object"]) > 0);
    api.post(WIDGETS, &widget("b")).await.is(201);
    assert_eq!(events.brief().await, pair("ADDED", "b"));
    // A table carries the mark in its row.
    let mut tables = api
        .watch_as(&format!("{WIDGETS}?{query}&labelSelector=a%3Dnone"), TABLE)
        .await;
    let mark = &tables.next().await.unwrap()["object"]["rows"][0]["object"]["metadata"];
    assert_eq!(mark["annotations"]["k8s.io/initial-events-end"], "true");
    // Who has not asked for bookmarks gets none.
    let query = query.replace("&allowWatchBookmarks=true", "&timeoutSeconds=1");
    let mut events = api.watch(&format!("{WIDGETS}?{query}")).await;
    assert_eq!(events.brief().await, pair("ADDED", "a"));
    assert_eq!(events.brief().await, pair("ADDED", "b"));
    assert_eq!(events.next().await, None);
    api.get(&format!("{WIDGETS}?watch=true&sendInitialEvents=true"))
        .await
        .fails(422, "resourceVersionMatch");
    api.get(&format!(
        "{WIDGETS}?watch=true&resourceVersionMatch=Exact&resourceVersion=1"
    ))
    .await
    .fails(422, "resourceVersionMatch");
}

#[tokio::test]
async fn a_watch_from_anywhere_is_a_watch_list() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    for query in ["watch", "watch=yes&resourceVersion=0"] {
        let path = format!("{WIDGETS}?{query}&allowWatchBookmarks=true");
        let mut events = api.watch(&path).await;
        assert_eq!(events.brief().await, pair("ADDED", "a"), "{query}");
        let end = events.next().await.unwrap();
        let mark = &end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
        assert_eq!((&end["type"], mark), (&json!("BOOKMARK"), &json!("true")));
    }
    api.get(&format!("{WIDGETS}?watch=1&continue=x&resourceVersion=0"))
        .await
        .fails(
            422,
            "resourceVersionMatch is forbidden when continue is provided",
        );
}

#[tokio::test]
async fn the_old_paths_of_watches() {
    let api = api().await;
    for name in ["a", "b"] {
        api.post(WIDGETS, &widget(name)).await.is(201);
    }
    let old = WIDGETS.replace("/v1/", "/v1/watch/");
    let mut all = api.watch(&format!("{old}?timeoutSeconds=1")).await;
    assert_eq!(all.brief().await, pair("ADDED", "a"));
    assert_eq!(all.brief().await, pair("ADDED", "b"));
    assert_eq!(all.next().await, None);
    let mut one = api.watch(&format!("{old}/b?timeoutSeconds=1")).await;
    assert_eq!(one.brief().await, pair("ADDED", "b"));
    assert_eq!(one.next().await, None);
    let refused = "is not supported on resources of kind";
    api.post(&old, &widget("c")).await.fails(405, refused);
    api.get(&format!("{old}/b/status"))
        .await
        .fails(405, refused);
}

#[tokio::test]
async fn an_impossible_revision_is_an_event_not_a_status() {
    let api = api().await;
    let mut events = api
        .watch(&format!("{WIDGETS}?watch=true&resourceVersion=99999999"))
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn it_ends_in_time_and_at_shutdown() {
    let api = api().await;
    let mut short = api
        .watch(&format!("{WIDGETS}?watch=true&timeoutSeconds=1"))
        .await;
    assert!(short.next().await.is_none());
    let mut long = api.watch(&format!("{WIDGETS}?watch=true")).await;
    api.server.end_watches();
    assert!(long.next().await.is_none());
}

#[tokio::test]
async fn tables_have_columns_once() {
    let api = api().await;
    let mut events = api.watch_as(&format!("{WIDGETS}?watch=true"), TABLE).await;
    for name in ["a", "b"] {
        api.post(WIDGETS, &widget(name)).await.is(201);
    }
    let first = events.next().await.unwrap()["object"].clone();
    assert_eq!(
        (
            &first["kind"],
            first["columnDefinitions"].as_array().unwrap().len()
        ),
        (&json!("Table"), 2)
    );
    assert_eq!(first["rows"][0]["cells"], json!(["a", 1]));
    let second = events.next().await.unwrap()["object"].clone();
    assert!(second["columnDefinitions"].is_null());
    assert_eq!(second["rows"][0]["cells"], json!(["b", 1]));
}
