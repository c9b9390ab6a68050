//! Nobody gives what they do not have.
//!
//! Whoever writes a role must hold all its rules already, or the verb `escalate` on it; whoever
//! binds one must hold its rules, or the verb `bind` on it. A role that gathers others by label
//! can come to hold anything, so only who may do everything may write one. Owners and finalizers
//! are free: a garbage collector needs no rules to let go of a role.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use super::Attributes;
use super::rbac::{Binding, GROUP, Role, together};
use super::rules::{ALL, compact, list, uncovered};
use crate::authn::{MASTERS, UserInfo};
use crate::handlers::Call;
use crate::meta;
use crate::status_error::{ApiError, Subject};

/// So many rules are told of, and so much of each: what is refused may be large.
const TOLD: usize = 1000;
const LONGEST: usize = 4096;

/// Checks a write of a role or binding; everything else passes.
///
/// # Errors
/// `Forbidden`, with the rules that the user would need.
pub(crate) fn check(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    if &*call.def.group != GROUP || call.user.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    match &*call.def.plural {
        "roles" | "clusterroles" => role(call, new, old),
        _ => binding(call, new, old),
    }
}

fn role(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    // The name of a new role is in its body alone, which rules with names say nothing of.
    if may(call, "escalate", &call.def.plural, &call.path.name) || lets_go(new, old) {
        return Ok(());
    }
    let wanted = read::<Role>(new)?.rules.unwrap_or_default();
    confirm(call, meta::name(new), &wanted)?;
    let gathers = |object: &Value| {
        let selectors = object["aggregationRule"]["clusterRoleSelectors"].as_array();
        selectors.is_some_and(|selectors| !selectors.is_empty())
    };
    if !gathers(new) && !old.is_some_and(gathers) {
        return Ok(());
    }
    confirm(call, meta::name(new), &everything()).map_err(|_| ApiError::Forbidden {
        subject: Subject::resource(&call.def, meta::name(new)),
        message: "must have cluster-admin privileges to use the aggregationRule".to_owned(),
    })
}

fn binding(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let Binding { role_ref, .. } = read(new)?;
    let plural = match role_ref.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation says so.
        _ => return Ok(()),
    };
    if may(call, "bind", plural, &role_ref.name) || lets_go(new, old) {
        return Ok(());
    }
    let rbac = &call.server.inner.rbac;
    let rules = rbac.rules_of_role(&role_ref, &call.path.namespace);
    let missing = || ApiError::NotFound(Subject::resource(&call.def, &role_ref.name));
    confirm(call, meta::name(new), &rules.ok_or_else(missing)?)
}

/// Does a change leave everything but owners and finalizers as it was?
fn lets_go(new: &Value, old: Option<&Value>) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Ok(metadata) = meta::fields(&mut object) {
            for field in [
                "finalizers",
                "ownerReferences",
                "managedFields",
                "resourceVersion",
            ] {
                metadata.remove(field);
            }
        }
        object
    };
    old.is_some_and(|old| rest(new) == rest(old))
}

fn read<T: serde::de::DeserializeOwned>(object: &Value) -> Result<T, ApiError> {
    serde_json::from_value(object.clone()).map_err(|error| ApiError::BadRequest(error.to_string()))
}

/// May the user do this to roles in the namespace of the request?
fn may(call: &Call, verb: &str, plural: &str, name: &str) -> bool {
    let attributes = Attributes {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: call.def.version.to_string(),
        resource: plural.to_owned(),
        namespace: call.path.namespace.clone(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    call.server
        .inner
        .rbac
        .authorize(&call.user, &attributes)
        .allows()
}

fn everything() -> [PolicyRule; 2] {
    let all = || vec![ALL.to_owned()];
    let rule = PolicyRule {
        verbs: all(),
        ..PolicyRule::default()
    };
    [
        PolicyRule {
            api_groups: Some(all()),
            resources: Some(all()),
            ..rule.clone()
        },
        PolicyRule {
            non_resource_urls: Some(all()),
            ..rule
        },
    ]
}

fn confirm(call: &Call, name: &str, wanted: &[PolicyRule]) -> Result<(), ApiError> {
    let owned = call
        .server
        .inner
        .rbac
        .rules_of(&call.user, &call.path.namespace);
    let lacking = uncovered(&owned.rules, wanted);
    if lacking.is_empty() {
        return Ok(());
    }
    Err(ApiError::Forbidden {
        subject: Subject::resource(&call.def, name),
        message: text(&call.user, &lacking, &owned.missing),
    })
}

fn text(user: &UserInfo, lacking: &[PolicyRule], missing: &[String]) -> String {
    let rules: BTreeSet<String> = compact(lacking).iter().map(shown).collect();
    let mut rules: Vec<String> = rules.into_iter().take(TOLD).collect();
    rules.iter_mut().for_each(shorten);
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        json!(user.name),
        quoted(&user.groups),
        rules.join("\n")
    );
    if !missing.is_empty() {
        message.push_str(&format!("; resolution errors: [{}]", together(missing)));
    }
    message
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
}

fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
    format!("[{}]", texts.join(" "))
}

/// `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`
fn shown(rule: &PolicyRule) -> String {
    let fields = [
        ("APIGroups", list(rule.api_groups.as_ref())),
        ("Resources", list(rule.resources.as_ref())),
        ("ResourceNames", list(rule.resource_names.as_ref())),
        ("NonResourceURLs", list(rule.non_resource_urls.as_ref())),
        ("Verbs", &rule.verbs),
    ];
    let set = fields.into_iter().filter(|(_, values)| !values.is_empty());
    let set: Vec<String> = set
        .map(|(name, values)| format!("{name}:{}", quoted(values)))
        .collect();
    format!("{{{}}}", set.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording() {
        let rule = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        };
        let user = UserInfo::new("u", &["dev"]);
        assert_eq!(
            text(&user, &[rule], &[]),
            "user \"u\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions \
             not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
        );
    }
}
