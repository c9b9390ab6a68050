//! Many objects: pages, selectors, freshness, tables, deletion.

use serde_json::{Value, json};

use crate::support::{Api, WIDGETS, api, version, widget};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const ALL: &str = "/apis/test.example/v1/widgets";

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

async fn five(api: &Api) {
    for (n, color) in ["red", "blue", "red", "blue", "red"]
        .into_iter()
        .enumerate()
    {
        let mut object = widget(&format!("w{n}"));
        object["spec"]["color"] = json!(color);
        object["metadata"]["labels"] = json!({"n": n.to_string()});
        api.post(WIDGETS, &object).await.is(201);
    }
}

#[tokio::test]
async fn selectors() {
    let api = api().await;
    five(&api).await;
    for (query, expected) in [
        ("", vec!["w0", "w1", "w2", "w3", "w4"]),
        ("labelSelector=n%20in%20(1,3)", vec!["w1", "w3"]),
        ("labelSelector=n!%3D1", vec!["w0", "w2", "w3", "w4"]),
        ("fieldSelector=metadata.name%3Dw2", vec!["w2"]),
        ("fieldSelector=spec.color%3Dblue", vec!["w1", "w3"]),
        (
            "fieldSelector=spec.color%3Dblue&labelSelector=n%3D3",
            vec!["w3"],
        ),
        ("fieldSelector=metadata.namespace%3Dother", vec![]),
    ] {
        for base in [WIDGETS, ALL] {
            let list = api.get(&format!("{base}?{query}")).await.is(200);
            assert_eq!(names(&list), expected, "{base} {query}");
            assert_eq!(
                (&list["kind"], &list["apiVersion"]),
                (&json!("WidgetList"), &json!("test.example/v1"))
            );
            assert!(version(&list) > 0);
        }
    }
    api.get(&format!("{WIDGETS}?labelSelector=a%20b"))
        .await
        .fails(400, "unable to parse requirement");
    api.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1"))
        .await
        .fails(400, "field label not supported: spec.size");
    api.get(&format!("{WIDGETS}?resourceVersion=abc"))
        .await
        .fails(400, "resourceVersion");
    api.get(&format!("{WIDGETS}?resourceVersion=99999999"))
        .await
        .fails(504, "Too large resource version");
}

#[tokio::test]
async fn pages_show_one_state() {
    let api = api().await;
    five(&api).await;
    let first = api.get(&format!("{WIDGETS}?limit=2")).await.is(200);
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["w0", "w1"], &json!(3))
    );
    api.post(WIDGETS, &widget("w10")).await.is(201);
    api.delete(&format!("{WIDGETS}/w3")).await.is(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api
        .get(&format!("{WIDGETS}?limit=2&continue={token}"))
        .await
        .is(200);
    assert_eq!(
        (names(&second), version(&second)),
        (vec!["w2", "w3"], version(&first))
    );
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = api
        .get(&format!("{WIDGETS}?limit=2&continue={token}"))
        .await
        .is(200);
    assert_eq!(names(&last), ["w4"]);
    assert_eq!(last["metadata"]["continue"], "");
    // What any state will do for comes whole.
    let any = api
        .get(&format!("{WIDGETS}?limit=2&resourceVersion=0"))
        .await;
    assert_eq!(names(&any.is(200)).len(), 5);
    api.get(&format!("{WIDGETS}?continue=nonsense"))
        .await
        .fails(400, "continue key is not valid");
}

#[tokio::test]
async fn tables_and_metadata() {
    let api = api().await;
    five(&api).await;
    let table = api.get_as(WIDGETS, TABLE).await.is(200);
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(columns, ["Name", "Replicas"]);
    assert_eq!(table["rows"][1]["cells"], json!(["w1", 1]));
    assert_eq!(table["rows"][1]["object"]["kind"], "PartialObjectMetadata");
    assert!(table["rows"][1]["object"].get("spec").is_none());
    let one = api
        .get_as(&format!("{WIDGETS}/w1?includeObject=Object"), TABLE)
        .await
        .is(200);
    assert_eq!(one["rows"][0]["object"]["spec"]["color"], "blue");
    let none = api
        .get_as(&format!("{WIDGETS}?includeObject=None"), TABLE)
        .await
        .is(200);
    assert_eq!(none["rows"][0]["object"], json!(null));
    api.get_as(&format!("{WIDGETS}?includeObject=Some"), TABLE)
        .await
        .fails(400, "includeObject: Invalid value: \"Some\": must be 'Metadata', 'Object', 'None', or empty");
    let pretty = api.send(
        http::Request::get(format!("{WIDGETS}/w1?pretty=true"))
            .body(axum::body::Body::empty())
            .unwrap(),
    );
    let body = axum::body::to_bytes(pretty.await.into_body(), 1 << 16).await;
    assert!(
        body.unwrap()
            .starts_with(b"{\n  \"apiVersion\": \"test.example/v1\",\n")
    );
    let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = api.get_as(WIDGETS, partial).await.is(200);
    assert_eq!(
        (&list["kind"], names(&list).len()),
        (&json!("PartialObjectMetadataList"), 5)
    );
    api.get_as(&format!("{WIDGETS}/w1"), partial)
        .await
        .fails(406, "the requested object is not a list");
    let one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    api.get_as(WIDGETS, one)
        .await
        .fails(406, "the requested object is a list");
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let api = api().await;
    five(&api).await;
    let gone = api
        .delete(&format!("{WIDGETS}?labelSelector=n%20notin%20(0)"))
        .await
        .is(200);
    assert_eq!(names(&gone).len(), 4);
    assert_eq!(names(&api.get(WIDGETS).await.is(200)), ["w0"]);
}

/// What is written while it is sent says the same as pages that are made in one piece.
#[tokio::test]
async fn large_lists_in_every_form() {
    let api = api().await;
    for n in 0..150 {
        let mut object = widget(&format!("w-{n:03}"));
        object["metadata"]["annotations"] = json!({"a": "x".repeat(1000)});
        api.post(WIDGETS, &object).await.is(201);
    }
    let (table, metadata) = (TABLE, TABLE.replace("Table", "PartialObjectMetadataList"));
    for (accept, items) in [("", "items"), (table, "rows"), (&metadata, "items")] {
        let whole = api.get_as(WIDGETS, accept).await.is(200);
        let (mut paged, mut next) = (Vec::new(), String::new());
        let last = loop {
            let path = format!("{WIDGETS}?limit=50&continue={next}");
            let page = api.get_as(&path, accept).await.is(200);
            paged.extend(page[items].as_array().unwrap().clone());
            next = match page["metadata"]["continue"].as_str() {
                None | Some("") => break page,
                Some(token) => token.to_owned(),
            };
        };
        assert_eq!((paged.len(), &whole[items]), (150, &json!(paged)));
        for field in ["kind", "apiVersion", "columnDefinitions", "metadata"] {
            assert_eq!(whole[field], last[field], "{accept}");
        }
    }
}
