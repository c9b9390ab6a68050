//! The roles that every cluster has, under Kubernetes' names.
//!
//! They are made at start where they are missing, and get back what was taken from them: a rule, a
//! subject, a label. What was added to them stays. With the annotation
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` they are left alone.

use serde_json::{Value, json};
use store::{Consistency, Expect, Key, Op, Store, Write, WriteError};

use super::aggregate;
use super::rbac::GROUP;
use crate::meta;
use crate::registry::{Registry, storage_name};
use crate::status_error::ApiError;

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// How often a role is looked at again that others write at the same time.
const ATTEMPTS: usize = 8;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const OURS: &str = api_types::GROUP;

/// Makes sure that the default roles and their bindings are there.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn bootstrap(store: &Store, registry: &Registry) -> Result<(), ApiError> {
    for (name, role) in roles() {
        reconcile(store, registry, "clusterroles", "ClusterRole", name, role).await?;
    }
    for (name, binding) in bindings() {
        reconcile(
            store,
            registry,
            "clusterrolebindings",
            "ClusterRoleBinding",
            name,
            binding,
        )
        .await?;
    }
    aggregate::once(store).await
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn paths(paths: &[&str]) -> Value {
    json!({"nonResourceURLs": paths, "verbs": ["get"]})
}

fn gathering(parts: &str, labels: Value) -> Value {
    json!({
        "metadata": {"labels": labels},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {aggregate_to(parts): "true"}}]},
    })
}

fn part(of: &str, rules: Vec<Value>) -> Value {
    json!({"metadata": {"labels": {aggregate_to(of): "true"}}, "rules": rules})
}

fn aggregate_to(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

fn roles() -> Vec<(&'static str, Value)> {
    let public = [
        "/healthz",
        "/livez",
        "/readyz",
        "/health",
        "/version",
        "/version/",
    ];
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let (access, identity) = ("authorization.k8s.io", "authentication.k8s.io");
    let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    vec![
        (
            "cluster-admin",
            json!({"rules": [rule(&["*"], &["*"], &["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]}),
        ),
        ("system:discovery", json!({"rules": [paths(&discovery)]})),
        (
            "system:public-info-viewer",
            json!({"rules": [paths(&public)]}),
        ),
        (
            "system:monitoring",
            json!({"rules": [paths(&[
                "/healthz",
                "/healthz/*",
                "/livez",
                "/livez/*",
                "/metrics",
                "/metrics/*",
                "/readyz",
                "/readyz/*",
            ])]}),
        ),
        (
            "system:service-account-issuer-discovery",
            json!({"rules": [paths(&[
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ])]}),
        ),
        (
            "system:auth-delegator",
            json!({"rules": [
                rule(&[identity], &["tokenreviews"], &["create"]),
                rule(&[access], &["subjectaccessreviews"], &["create"]),
            ]}),
        ),
        (
            "system:basic-user",
            json!({"rules": [
                rule(&[access], &reviews, &["create"]),
                rule(&[identity], &["selfsubjectreviews"], &["create"]),
            ]}),
        ),
        ("admin", gathering("admin", json!({}))),
        (
            "edit",
            gathering("edit", json!({aggregate_to("admin"): "true"})),
        ),
        (
            "view",
            gathering("view", json!({aggregate_to("edit"): "true"})),
        ),
        ("system:aggregate-to-admin", part("admin", admin_rules())),
        ("system:aggregate-to-edit", part("edit", edit_rules())),
        ("system:aggregate-to-view", part("view", view_rules())),
    ]
}

fn admin_rules() -> Vec<Value> {
    vec![
        rule(
            &["authorization.k8s.io"],
            &["localsubjectaccessreviews"],
            &["create"],
        ),
        rule(&[GROUP], &["rolebindings", "roles"], ALL_VERBS),
    ]
}

fn edit_rules() -> Vec<Value> {
    vec![
        rule(&[""], &["secrets"], READ),
        rule(
            &[""],
            &["configmaps", "events", "secrets", "serviceaccounts"],
            WRITE,
        ),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(&[""], &["serviceaccounts/token"], &["create"]),
        rule(&["coordination.k8s.io"], &["leases"], ALL_VERBS),
        rule(&["events.k8s.io"], &["events"], WRITE),
        rule(
            &[OURS],
            &["deployments", "deployments/scale", "routes"],
            WRITE,
        ),
    ]
}

fn view_rules() -> Vec<Value> {
    let core = [
        "configmaps",
        "events",
        "limitranges",
        "namespaces",
        "namespaces/status",
        "pods",
        "pods/log",
        "pods/status",
        "resourcequotas",
        "resourcequotas/status",
        "serviceaccounts",
    ];
    let ours = [
        "deployments",
        "deployments/scale",
        "deployments/status",
        "routes",
        "routes/status",
    ];
    vec![
        rule(&[""], &core, READ),
        rule(&["events.k8s.io"], &["events"], READ),
        rule(&[OURS], &ours, READ),
    ]
}

fn bindings() -> Vec<(&'static str, Value)> {
    let (known, unknown) = ("system:authenticated", "system:unauthenticated");
    let bind = |role: &'static str, groups: &[&str]| {
        let subject = |group: &&str| json!({"apiGroup": GROUP, "kind": "Group", "name": group});
        let subjects: Vec<Value> = groups.iter().map(subject).collect();
        let role_ref = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
        (role, json!({"roleRef": role_ref, "subjects": subjects}))
    };
    vec![
        bind("cluster-admin", &["system:masters"]),
        bind("system:discovery", &[known]),
        bind("system:basic-user", &[known]),
        bind("system:monitoring", &["system:monitoring"]),
        bind(
            "system:service-account-issuer-discovery",
            &["system:serviceaccounts"],
        ),
        bind("system:public-info-viewer", &[known, unknown]),
    ]
}

/// Brings one object to what is wanted of it.
async fn reconcile(
    store: &Store,
    registry: &Registry,
    plural: &str,
    kind: &str,
    name: &str,
    mut wanted: Value,
) -> Result<(), ApiError> {
    let key = Key::new(storage_name(GROUP, plural), "", name);
    wanted["kind"] = json!(kind);
    wanted["apiVersion"] = json!(format!("{GROUP}/v1"));
    wanted["metadata"]["name"] = json!(name);
    wanted["metadata"]["annotations"][AUTOUPDATE] = json!("true");
    wanted["metadata"]["labels"]["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
    for _ in 0..ATTEMPTS {
        let found = store.get(&key, Consistency::Latest).await?;
        let (expect, op) = match &found {
            None => (
                Expect::Absent,
                Op::Put(fresh(registry, plural, wanted.clone())?),
            ),
            Some(found) => {
                let stored: Value = serde_json::from_slice(&found.json)
                    .map_err(|error| ApiError::Internal(error.to_string()))?;
                let Some(op) = repaired(&stored, &wanted) else {
                    return Ok(());
                };
                (Expect::Revision(found.revision), op)
            }
        };
        let again = matches!(op, Op::Delete(_));
        let write = Write {
            key: key.clone(),
            expect,
            op,
            guards: Vec::new(),
        };
        match store.commit(write).await {
            Ok(_) if !again => return Ok(()),
            // It made way for a new one, or another process was faster: look again.
            Ok(_)
            | Err(
                WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. },
            ) => {}
            Err(WriteError::Store(error)) => return Err(error.into()),
        }
    }
    Err(ApiError::Timeout)
}

fn fresh(registry: &Registry, plural: &str, mut object: Value) -> Result<Value, ApiError> {
    let snapshot = registry.snapshot();
    let def = snapshot
        .find(GROUP, "v1", plural)
        .ok_or(ApiError::NoSuchPath)?;
    meta::fill_new(&mut object, def, "", &meta::now())?;
    Ok(object)
}

/// What to do about an object that differs from what is wanted; `None` where it does not, or must
/// be left alone.
fn repaired(stored: &Value, wanted: &Value) -> Option<Op> {
    if stored["metadata"]["annotations"][AUTOUPDATE] == "false" || meta::is_deleting(stored) {
        return None;
    }
    // What a binding refers to never changes.
    if stored["roleRef"] != wanted["roleRef"] {
        return Some(Op::Delete(None));
    }
    let mut repaired = stored.clone();
    for field in ["labels", "annotations"] {
        let there = &mut repaired["metadata"][field];
        if !there.is_object() {
            *there = json!({});
        }
        for (key, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
            there[key] = value.clone();
        }
    }
    // The rules of a role that gathers are what it has gathered.
    complete(&mut repaired, wanted, "rules");
    complete(&mut repaired, wanted, "subjects");
    if wanted["aggregationRule"].is_object() {
        if !repaired["aggregationRule"].is_object() {
            repaired["aggregationRule"] = json!({});
        }
        let (there, wanted) = (&mut repaired["aggregationRule"], &wanted["aggregationRule"]);
        complete(there, wanted, "clusterRoleSelectors");
    }
    (repaired != *stored).then_some(Op::Put(repaired))
}

/// Adds the items of a list that are missing.
fn complete(object: &mut Value, wanted: &Value, field: &str) {
    let Some(wanted) = wanted[field].as_array() else {
        return;
    };
    if !object[field].is_array() {
        object[field] = json!([]);
    }
    if let Some(there) = object[field].as_array_mut() {
        let missing: Vec<Value> = wanted
            .iter()
            .filter(|item| !there.contains(item))
            .cloned()
            .collect();
        there.extend(missing);
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    fn put(stored: &Value, wanted: &Value) -> Option<Value> {
        match repaired(stored, wanted) {
            Some(Op::Put(value)) => Some(value),
            Some(Op::Delete(_)) => panic!("deleted"),
            None => None,
        }
    }

    #[test]
    fn what_is_missing_comes_back_and_what_was_added_stays() {
        let wanted = json!({"metadata": {"labels": {"a": "1"}, "annotations": {AUTOUPDATE: "true"}}, "rules": [1, 2]});
        let with = |rules: Value, auto: &str| json!({"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {AUTOUPDATE: auto}}, "rules": rules});
        assert_eq!(put(&wanted, &wanted), None);
        assert_eq!(
            put(&with(json!([2, 3]), "true"), &wanted),
            Some(with(json!([2, 3, 1]), "true"))
        );
        assert_eq!(put(&with(json!([2]), "false"), &wanted), None);
        let bare = json!({"metadata": {}});
        assert_eq!(put(&bare, &wanted), Some(wanted.clone()));
        let bound = |role: &str| json!({"metadata": {}, "roleRef": {"name": role}});
        assert!(matches!(
            repaired(&bound("a"), &bound("b")),
            Some(Op::Delete(None))
        ));
    }

    #[test]
    fn default_roles_are_valid() {
        for (name, role) in roles() {
            let rules: Result<Vec<k8s_openapi::api::rbac::v1::PolicyRule>, _> =
                serde_json::from_value(role.get("rules").cloned().unwrap_or_else(|| json!([])));
            assert!(rules.is_ok(), "{name}");
        }
    }
}
