//! Roles and their bindings: what Kubernetes checks of them beyond their schema.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde_json::{Value, json};

use super::{Names, stored};
use crate::authz::GROUP;
use crate::registry::{ResourceDef, Strategy};
use crate::server::ServerError;
use crate::validation::FieldError;
use crate::validation::names::{NameRule, label_value, qualified_name, subdomain};

/// The four kinds.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(super) fn definitions() -> Result<Vec<ResourceDef>, ServerError> {
    let names = |plural, kind, namespaced| Names {
        group: GROUP,
        plural,
        kind,
        short: &[],
        namespaced,
    };
    Ok(vec![
        stored::<ClusterRole>(
            names("clusterroles", "ClusterRole", false),
            RoleStrategy { namespaced: false },
        )?,
        stored::<ClusterRoleBinding>(
            names("clusterrolebindings", "ClusterRoleBinding", false),
            BindingStrategy { namespaced: false },
        )?,
        stored::<Role>(
            names("roles", "Role", true),
            RoleStrategy { namespaced: true },
        )?,
        stored::<RoleBinding>(
            names("rolebindings", "RoleBinding", true),
            BindingStrategy { namespaced: true },
        )?,
    ])
}

struct RoleStrategy {
    namespaced: bool,
}

impl Strategy for RoleStrategy {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn validate(&self, role: &Value, _: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        for (index, rule) in items(role, "rules").iter().enumerate() {
            check_rule(
                rule,
                &format!("rules[{index}]"),
                self.namespaced,
                &mut problems,
            );
        }
        let aggregation = &role["aggregationRule"];
        if !aggregation.is_null() && items(aggregation, "clusterRoleSelectors").is_empty() {
            problems.push(FieldError::required(
                "aggregationRule.clusterRoleSelectors",
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (index, selector) in items(aggregation, "clusterRoleSelectors")
            .iter()
            .enumerate()
        {
            let field = format!("aggregationRule.clusterRoleSelectors[{index}]");
            check_selector(selector, &field, &mut problems);
        }
        problems
    }
}

fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn check_rule(rule: &Value, field: &str, namespaced: bool, problems: &mut Vec<FieldError>) {
    let empty = |name: &str| items(rule, name).is_empty();
    if empty("verbs") {
        let detail = "verbs must contain at least one value";
        problems.push(FieldError::required(format!("{field}.verbs"), detail));
    }
    if !empty("nonResourceURLs") {
        let urls = format!("{field}.nonResourceURLs");
        let value = &rule["nonResourceURLs"];
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            problems.push(FieldError::invalid(&urls, value.clone(), detail));
        }
        if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            problems.push(FieldError::invalid(urls, value.clone(), detail));
        }
        return;
    }
    if empty("apiGroups") {
        let detail = "resource rules must supply at least one api group";
        problems.push(FieldError::required(format!("{field}.apiGroups"), detail));
    }
    if empty("resources") {
        let detail = "resource rules must supply at least one resource";
        problems.push(FieldError::required(format!("{field}.resources"), detail));
    }
}

fn check_selector(selector: &Value, field: &str, problems: &mut Vec<FieldError>) {
    let before = problems.len();
    let labels = format!("{field}.matchLabels");
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        invalid(&labels, key, qualified_name(key), problems);
        invalid(&labels, value, label_value(value), problems);
    }
    for (index, found) in items(selector, "matchExpressions").iter().enumerate() {
        let place = format!("{field}.matchExpressions[{index}]");
        let values = items(found, "values");
        let operator = found["operator"].as_str().unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => problems.push(FieldError::required(
                format!("{place}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                problems.push(FieldError::forbidden(
                    format!("{place}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => problems.push(FieldError::invalid(
                format!("{place}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = found["key"].as_str().unwrap_or_default();
        invalid(&format!("{place}.key"), key, qualified_name(key), problems);
        for (index, value) in values.iter().enumerate() {
            let (place, value) = (format!("{place}.values[{index}]"), value.as_str());
            let value = value.unwrap_or_default();
            invalid(&place, value, label_value(value), problems);
        }
    }
    if problems.len() > before {
        let detail = "invalid label selector.";
        problems.push(FieldError::invalid(field, Value::Null, detail));
    }
}

/// Notes what is wrong with a value, one problem per complaint.
fn invalid(field: &str, value: &str, wrong: Vec<String>, problems: &mut Vec<FieldError>) {
    let wrong = wrong.into_iter();
    problems.extend(wrong.map(|detail| FieldError::invalid(field, value, detail)));
}

struct BindingStrategy {
    namespaced: bool,
}

impl Strategy for BindingStrategy {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn complete(&self, binding: &mut Value) {
        complete(binding);
    }

    fn validate(&self, binding: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        self.check_role(&binding["roleRef"], &mut problems);
        for (index, subject) in items(binding, "subjects").iter().enumerate() {
            let field = format!("subjects[{index}]");
            check_subject(subject, &field, self.namespaced, &mut problems);
        }
        if old.is_some_and(|old| old["roleRef"] != binding["roleRef"]) {
            let part = |field: &str| binding["roleRef"][field].clone();
            // As Kubernetes shows it.
            let shown = json!({
                "APIGroup": part("apiGroup"),
                "Kind": part("kind"),
                "Name": part("name"),
            });
            let problem = FieldError::invalid("roleRef", shown, "cannot change roleRef");
            problems.push(problem);
        }
        problems
    }
}

impl BindingStrategy {
    fn check_role(&self, role: &Value, problems: &mut Vec<FieldError>) {
        let text = |field: &str| role[field].as_str().unwrap_or_default();
        if text("apiGroup") != GROUP {
            let problem = FieldError::not_supported("roleRef.apiGroup", text("apiGroup"), &[GROUP]);
            problems.push(problem);
        }
        let kinds: &[&str] = if self.namespaced {
            &["Role", "ClusterRole"]
        } else {
            &["ClusterRole"]
        };
        if !kinds.contains(&text("kind")) {
            problems.push(FieldError::not_supported(
                "roleRef.kind",
                text("kind"),
                kinds,
            ));
        }
        if text("name").is_empty() {
            problems.push(FieldError::required("roleRef.name", ""));
        }
        let wrong = NameRule::PathSegment.check(text("name"));
        invalid("roleRef.name", text("name"), wrong, problems);
    }
}

/// Fills in the groups that a manifest may leave out.
fn complete(binding: &mut Value) {
    let unset = |value: &Value| value.as_str().unwrap_or_default().is_empty();
    if binding["roleRef"].is_object() && unset(&binding["roleRef"]["apiGroup"]) {
        binding["roleRef"]["apiGroup"] = json!(GROUP);
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        let person = subject["kind"] == "User" || subject["kind"] == "Group";
        if person && unset(&subject["apiGroup"]) {
            subject["apiGroup"] = json!(GROUP);
        }
    }
}

fn check_subject(subject: &Value, field: &str, namespaced: bool, problems: &mut Vec<FieldError>) {
    let text = |name: &str| subject[name].as_str().unwrap_or_default();
    let (name, group) = (text("name"), text("apiGroup"));
    if name.is_empty() {
        problems.push(FieldError::required(format!("{field}.name"), ""));
    }
    let wanted = match text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                invalid(&format!("{field}.name"), name, subdomain(name), problems);
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            problems.push(FieldError::not_supported(
                format!("{field}.kind"),
                other,
                &kinds,
            ));
            return;
        }
    };
    if group != wanted {
        problems.push(FieldError::not_supported(
            format!("{field}.apiGroup"),
            group,
            &[wanted],
        ));
    }
    if !namespaced && text("kind") == "ServiceAccount" && text("namespace").is_empty() {
        problems.push(FieldError::required(format!("{field}.namespace"), ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(problems: &[FieldError]) -> Vec<String> {
        problems
            .iter()
            .map(|problem| problem.field.clone())
            .collect()
    }

    #[test]
    fn shapes_of_rules() {
        let resources = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/x"]});
        let both = json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]});
        let cases: [(Value, bool, &[&str]); 6] = [
            (resources.clone(), true, &[]),
            (resources, false, &[]),
            (paths.clone(), false, &[]),
            (paths, true, &["rules[0].nonResourceURLs"]),
            (both, false, &["rules[0].nonResourceURLs"]),
            (
                json!({"verbs": []}),
                true,
                &["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"],
            ),
        ];
        for (rule, namespaced, expected) in cases {
            let problems = RoleStrategy { namespaced }.validate(&json!({"rules": [rule]}), None);
            assert_eq!(fields(&problems), expected, "{rule}");
        }
        let empty = json!({"aggregationRule": {"clusterRoleSelectors": []}});
        let problems = RoleStrategy { namespaced: false }.validate(&empty, None);
        assert_eq!(fields(&problems), ["aggregationRule.clusterRoleSelectors"]);
    }

    #[test]
    fn bindings_are_completed_and_checked() {
        let binding = |role: &str, subject: Value| {
            let mut binding =
                json!({"roleRef": {"kind": role, "name": "r"}, "subjects": [subject]});
            complete(&mut binding);
            binding
        };
        let account = json!({"kind": "ServiceAccount", "name": "a"});
        let cases: [(Value, bool, &[&str]); 6] = [
            (
                binding("Role", json!({"kind": "User", "name": "u"})),
                true,
                &[],
            ),
            (binding("ClusterRole", account.clone()), true, &[]),
            (
                binding("ClusterRole", account),
                false,
                &["subjects[0].namespace"],
            ),
            (
                binding("Role", json!({"kind": "Group", "name": "g"})),
                false,
                &["roleRef.kind"],
            ),
            (
                binding("Role", json!({"kind": "Robot", "name": "g"})),
                true,
                &["subjects[0].kind"],
            ),
            (
                binding(
                    "Role",
                    json!({"kind": "User", "name": "u", "apiGroup": "x"}),
                ),
                true,
                &["subjects[0].apiGroup"],
            ),
        ];
        for (binding, namespaced, expected) in cases {
            let problems = BindingStrategy { namespaced }.validate(&binding, None);
            assert_eq!(fields(&problems), expected, "{binding}");
        }
        let old = binding("Role", json!({"kind": "User", "name": "u"}));
        let new = binding("ClusterRole", json!({"kind": "User", "name": "u"}));
        let problems = BindingStrategy { namespaced: true }.validate(&new, Some(&old));
        assert_eq!(
            problems[0].to_string().split(": ").last(),
            Some("cannot change roleRef")
        );
    }
}
