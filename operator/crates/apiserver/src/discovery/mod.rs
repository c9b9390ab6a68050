//! What is served, for clients to find: the legacy documents (`/api`, `/apis`, `/apis/G`,
//! `/apis/G/V`) and the aggregated ones (`apidiscovery.k8s.io` v2 and v2beta1).
//!
//! Guarantees: a resource that is served is listed with exactly the verbs that work; a resource
//! stands before its subresources, because Argo CD takes the first entry whose kind and verb
//! match; groups stand in the order of the registry, in which ours is early, because kubectl
//! resolves a short name to the first group that has it. Documents are built once for each state
//! of the registry and carry an `ETag`.

mod aggregated;
mod cache;
mod legacy;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

pub(crate) use self::cache::{Document, DocumentCache};
use crate::negotiate::{self, Form, Format, View};
use crate::registry::{ResourceDef, Snapshot};

/// Answers discovery requests; one per server.
#[derive(Debug, Default)]
pub struct Discovery {
    documents: DocumentCache,
}

impl Discovery {
    /// The answer to a GET of `path`; `None` when it is no discovery document, or of a group or
    /// version that is not served.
    pub fn respond(
        &self,
        snapshot: &Snapshot,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let root = matches!(path, "/api" | "/apis");
        let version = if root {
            aggregated::accepted(headers)
        } else {
            None
        };
        let form = match version {
            None => negotiate::form(headers, |view| view == View::Full),
            Some(_) => Ok(Form::default()),
        };
        let yaml = matches!(&form, Ok(form) if form.format == Format::Yaml);
        let key = format!("{path} {} {yaml}", version.unwrap_or("legacy"));
        let document = self
            .documents
            .get(snapshot.generation, &key, || match version {
                Some(version) => Some(Document::new(
                    aggregated::document(snapshot, path == "/api", version).to_string(),
                    &aggregated::media_type(version),
                )),
                None if yaml => {
                    let text = serde_saphyr::to_string(&legacy::document(snapshot, path)?).ok()?;
                    Some(Document::new(text, "application/yaml"))
                }
                None => Some(Document::new(
                    legacy::document(snapshot, path)?.to_string(),
                    "application/json",
                )),
            })?;
        Some(match form {
            Ok(_) => {
                let mut response = document.respond(headers);
                if version.is_some() {
                    let public = HeaderValue::from_static("public");
                    response.headers_mut().insert(header::CACHE_CONTROL, public);
                }
                response
            }
            Err(error) => error.into_response(),
        })
    }
}

/// A subresource as discovery shows it.
struct Subresource<'a> {
    name: &'static str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: &'static [&'static str],
}

/// The subresources of a resource.
fn subresources(def: &ResourceDef) -> Vec<Subresource<'_>> {
    const READ_WRITE: &[&str] = &["get", "patch", "update"];
    let own = |name, verbs| Subresource {
        name,
        group: &def.group,
        version: &def.version,
        kind: &def.kind,
        verbs,
    };
    let mut all = Vec::new();
    if def.subresources.finalize {
        all.push(own("finalize", &["update"]));
    }
    if def.subresources.status {
        all.push(own("status", READ_WRITE));
    }
    if def.subresources.scale.is_some() {
        all.push(Subresource {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            verbs: READ_WRITE,
        });
    }
    if def.subresources.token {
        all.push(Subresource {
            name: "token",
            group: "authentication.k8s.io",
            version: "v1",
            kind: "TokenRequest",
            verbs: &["create"],
        });
    }
    all
}

/// The resources of a group's version, by name.
fn resources<'a>(
    snapshot: &'a Snapshot,
    group: &'a str,
    version: &'a str,
) -> Vec<&'a Arc<ResourceDef>> {
    let mut found: Vec<_> = snapshot.of_version(group, version).collect();
    found.sort_by(|a, b| a.plural.cmp(&b.plural));
    found
}

/// Groups in discovery order, each with its versions, the preferred one first.
fn groups(snapshot: &Snapshot) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (group, version) in snapshot.group_versions() {
        match groups.iter_mut().find(|(name, _)| **name == *group) {
            Some((_, versions)) => versions.push(version.to_string()),
            None => groups.push((group.to_string(), vec![version.to_string()])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
    }
    groups
}

/// Kubernetes' order of versions, the preferred one greatest: `v2`, `v1`, `v2beta1`, `v1alpha2`, then everything else.
pub(crate) fn version_rank(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        let stage = &rest[digits..];
        for (name, rank) in [("alpha", 1), ("beta", 2)] {
            if let Some(minor) = stage.strip_prefix(name) {
                return Some((rank, major, minor.parse().ok()?));
            }
        }
        stage.is_empty().then_some((3, major, 0))
    });
    let (stage, major, minor) = parsed.unwrap_or((0, 0, 0));
    (stage, major, minor, std::cmp::Reverse(version.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::{
        Backing, PlainStrategy, Registry, ScalePaths, Subresources, Verb, storage_name,
    };
    use crate::schema::Schema;

    /// A row for tests of documents.
    pub(crate) fn row(
        group: &str,
        version: &str,
        plural: &str,
        kind: &str,
        schema: Schema,
    ) -> ResourceDef {
        ResourceDef {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            singular: kind.to_lowercase().into(),
            kind: kind.into(),
            list_kind: format!("{kind}List").into(),
            short_names: vec![plural[..2].into()],
            categories: Vec::new(),
            namespaced: kind != "Namespace",
            verbs: Verb::ALL,
            subresources: Subresources::default(),
            schema: Arc::new(schema),
            custom: group.contains('.') && !group.ends_with("k8s.io"),
            columns: Vec::new(),
            selectable_fields: Vec::new(),
            strategy: Arc::new(PlainStrategy { generation: false }),
            storage: storage_name(group, plural),
            conversion: None,
            backing: Backing::Stored,
            deprecation: None,
        }
    }

    fn snapshot() -> Arc<Snapshot> {
        let scale = ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: None,
        };
        let deployment = row(
            "obiente.cloud",
            "v1alpha1",
            "deployments",
            "Deployment",
            Schema::default(),
        );
        let review = row(
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            Schema::default(),
        );
        Registry::new(vec![
            ResourceDef {
                verbs: Verb::CREATE_ONLY,
                backing: Backing::Review,
                namespaced: false,
                ..review
            },
            ResourceDef {
                subresources: Subresources {
                    status: true,
                    scale: Some(scale),
                    ..Subresources::default()
                },
                ..deployment
            },
            row(
                "obiente.cloud",
                "v1",
                "deployments",
                "Deployment",
                Schema::default(),
            ),
            row("", "v1", "configmaps", "ConfigMap", Schema::default()),
        ])
        .snapshot()
    }

    async fn get(path: &str, accept: &str) -> Option<(String, Value)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let response = Discovery::default().respond(&snapshot(), path, &headers)?;
        let media = response.headers()[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        Some((media, serde_json::from_slice(&body).unwrap()))
    }

    #[tokio::test]
    async fn legacy_documents_lead_from_the_root_to_the_resources() {
        let accept = "application/json, */*";
        let (_, api) = get("/api", accept).await.unwrap();
        assert_eq!(
            (&api["kind"], &api["versions"]),
            (&json!("APIVersions"), &json!(["v1"]))
        );
        let (_, apis) = get("/apis", accept).await.unwrap();
        let names: Vec<_> = apis["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["obiente.cloud", "authorization.k8s.io"]);
        assert_eq!(
            apis["groups"][0]["preferredVersion"],
            json!({"groupVersion": "obiente.cloud/v1", "version": "v1"})
        );
        let (_, group) = get("/apis/obiente.cloud", accept).await.unwrap();
        assert_eq!(
            (&group["kind"], &group["apiVersion"]),
            (&json!("APIGroup"), &json!("v1"))
        );
        for path in ["/api/v1", "/api/v1/"] {
            let (media, core) = get(path, accept).await.unwrap();
            assert_eq!(media, "application/json");
            assert_eq!(core["groupVersion"], "v1");
            assert_eq!(
                core["resources"][0],
                json!({"name": "configmaps", "singularName": "configmap", "namespaced": true,
                "kind": "ConfigMap", "shortNames": ["co"], "storageVersionHash": "qFsyl6wFWjQ=",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]})
            );
        }
        for path in [
            "/api/v2",
            "/apis/nothing",
            "/apis/obiente.cloud/v9",
            "/version",
        ] {
            assert!(get(path, accept).await.is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn resources_stand_before_their_subresources() {
        let (_, list) = get("/apis/obiente.cloud/v1alpha1", "*/*").await.unwrap();
        let names: Vec<_> = list["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].clone())
            .collect();
        assert_eq!(
            names,
            ["deployments", "deployments/status", "deployments/scale"]
        );
        assert_eq!(
            list["resources"][2],
            json!({"name": "deployments/scale", "singularName": "", "namespaced": true,
            "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
        );
    }

    #[tokio::test]
    async fn aggregated_discovery_is_chosen_by_the_accept_header_in_any_order_of_parameters() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let cases = [
            (format!("{v2},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"), v2),
            ("application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList".into(), v2),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json".into(),
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            ),
            ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json".into(), "application/json"),
            ("application/json".into(), "application/json"),
        ];
        for (accept, media) in &cases {
            for path in ["/api", "/apis"] {
                assert_eq!(get(path, accept).await.unwrap().0, *media, "{accept}");
            }
        }
        let (_, apis) = get("/apis", v2).await.unwrap();
        assert_eq!(apis["apiVersion"], "apidiscovery.k8s.io/v2");
        let ours = &apis["items"][0];
        assert_eq!(ours["metadata"]["name"], "obiente.cloud");
        assert_eq!(ours["versions"][1]["freshness"], "Current");
        let deployments = &ours["versions"][1]["resources"][0];
        assert_eq!(
            deployments["responseKind"],
            json!({"group": "obiente.cloud", "version": "v1alpha1", "kind": "Deployment"})
        );
        assert_eq!(
            deployments["subresources"][1]["responseKind"],
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
        );
        assert_eq!(deployments["scope"], "Namespaced");
        let (_, api) = get("/api", v2).await.unwrap();
        assert_eq!(api["items"].as_array().unwrap().len(), 1);
        assert_eq!(
            api["items"][0]["versions"][0]["resources"][0]["resource"],
            "configmaps"
        );
    }

    #[test]
    fn an_unchanged_document_is_not_sent_again() {
        let discovery = Discovery::default();
        let first = discovery
            .respond(&snapshot(), "/apis", &HeaderMap::new())
            .unwrap();
        let tag: HeaderValue = first.headers()[header::ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, tag);
        assert_eq!(
            discovery
                .respond(&snapshot(), "/apis", &headers)
                .unwrap()
                .status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(
            discovery
                .respond(&snapshot(), "/api", &headers)
                .unwrap()
                .status(),
            StatusCode::OK
        );
    }

    #[test]
    fn versions_are_ordered_by_stability() {
        let mut versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "bar"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(
            versions,
            ["v10", "v1", "v2beta1", "v1beta2", "v1alpha1", "bar", "foo"]
        );
    }
}
