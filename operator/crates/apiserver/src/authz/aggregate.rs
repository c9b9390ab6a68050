//! Roles that gather the rules of others: `aggregationRule` names labels, this loop keeps `rules`
//! equal to the rules of the roles that have them. Several processes may run it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};
use store::{
    Consistency, Expect, ListQuery, Object, Op, Store, WatchFrom, WatchQuery, Write, WriteError,
};
use tokio_util::sync::CancellationToken;

use super::rbac::GROUP;
use crate::registry::storage_name;
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Roles may gather roles that gather: more rounds than this never have anything to do.
const ROUNDS: usize = 16;

/// The loop: gathers again whenever a role changes, until cancelled.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        let followed = cancel
            .run_until_cancelled(follow(&server.inner.store))
            .await;
        if let Err(error) = followed.unwrap_or(Ok(())) {
            tracing::warn!(%error, "cannot gather rules of roles, trying again");
        }
        let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Ends when the watch ends.
async fn follow(store: &Store) -> Result<(), ApiError> {
    let query = WatchQuery {
        resource: storage_name(GROUP, "clusterroles"),
        namespace: None,
        filter: None,
        from: WatchFrom::After(store.revision()),
        bookmarks: false,
    };
    let mut watcher = store.watch(query).await?;
    once(store).await?;
    while watcher.next().await.is_some() {
        once(store).await?;
    }
    Ok(())
}

/// Gathers until nothing changes.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn once(store: &Store) -> Result<(), ApiError> {
    for _ in 0..ROUNDS {
        let query = ListQuery {
            resource: storage_name(GROUP, "clusterroles"),
            namespace: None,
            filter: None,
            at: Consistency::Latest,
            after: None,
            limit: None,
        };
        let roles = store.list(query).await?.objects;
        let parsed: Result<Vec<Value>, _> = roles
            .iter()
            .map(|role| serde_json::from_slice(&role.json))
            .collect();
        let parsed = parsed.map_err(|error| ApiError::Internal(error.to_string()))?;
        let mut changed = false;
        for (object, role) in roles.iter().zip(&parsed) {
            let Some(rules) = gathered(role, &roles, &parsed) else {
                continue;
            };
            if role["rules"].as_array().map_or(&[][..], Vec::as_slice) != rules {
                changed = true;
                write(store, object, role, rules).await?;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

async fn write(
    store: &Store,
    object: &Object,
    role: &Value,
    rules: Vec<Value>,
) -> Result<(), ApiError> {
    let mut role = role.clone();
    role["rules"] = json!(rules);
    let write = Write {
        key: object.key.clone(),
        expect: Expect::Revision(object.revision),
        op: Op::Put(role),
        guards: Vec::new(),
    };
    match store.commit(write).await {
        // Whoever was faster made an event, and so another round.
        Ok(_)
        | Err(WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. }) => {
            Ok(())
        }
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}

/// The rules that a role should have, in the order of its selectors; `None` for one that does not
/// gather.
fn gathered(
    role: &Value,
    objects: &[std::sync::Arc<Object>],
    parsed: &[Value],
) -> Option<Vec<Value>> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array()?;
    let selectors: Vec<LabelSelector> = selectors
        .iter()
        .filter_map(|selector| serde_json::from_value(selector.clone()).ok())
        .collect();
    let selected = selectors.iter().flat_map(|selector| {
        let others = objects.iter().zip(parsed);
        others.filter(|(object, other)| {
            let itself = other["metadata"]["name"] == role["metadata"]["name"];
            !itself && matches(selector, &object.labels)
        })
    });
    let mut rules: Vec<Value> = Vec::new();
    for rule in selected.flat_map(|(_, other)| other["rules"].as_array().into_iter().flatten()) {
        let valid = serde_json::from_value::<PolicyRule>(rule.clone()).is_ok();
        if valid && !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    Some(rules)
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    let expressions = selector.match_expressions.iter().flatten();
    selector.match_labels.iter().flatten().all(equal)
        && expressions.into_iter().all(|test| {
            let value = labels.get(&test.key);
            let listed =
                value.is_some_and(|value| test.values.iter().flatten().any(|v| v == value));
            match test.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_in_the_order_of_the_selectors() {
        let role = |name: &str, label: &str, rule: Value| {
            let value = json!({"metadata": {"name": name, "labels": {label: ""}}, "rules": [rule]});
            let key = store::Key::new(storage_name(GROUP, "clusterroles"), "", name);
            (Object::from_value(key, 1, value.clone()).unwrap(), value)
        };
        let verbs = |verb: &str| json!({"verbs": [verb]});
        let (objects, parsed): (Vec<_>, Vec<_>) = [
            role("a", "late", verbs("get")),
            role("b", "early", verbs("list")),
            role("c", "early", verbs("list")),
        ]
        .into_iter()
        .unzip();
        let exists = |key: &str| json!({"matchExpressions": [{"operator": "Exists", "key": key}]});
        let gathering =
            json!({"aggregationRule": {"clusterRoleSelectors": [exists("early"), exists("late")]}});
        assert_eq!(
            gathered(&gathering, &objects, &parsed),
            Some(vec![verbs("list"), verbs("get")])
        );
    }

    #[test]
    fn selectors() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let test = |operator: &str, key: &str, values: &[&str]| json!({"matchExpressions": [{"operator": operator, "key": key, "values": values}]});
        let cases = [
            (json!({"matchLabels": {"a": "1"}}), true),
            (json!({"matchLabels": {"a": "2"}}), false),
            (json!({"matchLabels": {"a": "1", "b": "1"}}), false),
            (json!({}), true),
            (test("In", "a", &["1", "2"]), true),
            (test("NotIn", "a", &["1"]), false),
            (test("NotIn", "b", &["1"]), true),
            (test("Exists", "a", &[]), true),
            (test("DoesNotExist", "a", &[]), false),
            (test("Unknown", "a", &[]), false),
        ];
        for (selector, expected) in cases {
            let parsed = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(matches(&parsed, &labels), expected, "{selector}");
        }
    }
}
