//! What one rule of a role allows, as in Kubernetes: pure functions of rules and requests.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::Attributes;

/// So many parts of rules are looked at one by one. A few lists in a small body make more of them than
/// there is memory: what is beyond is looked at as it is, and so has to be covered by one rule.
const MOST_PARTS: usize = 100_000;

/// Matches everything, in every list but `resourceNames`.
pub(super) const ALL: &str = "*";

/// Does this rule allow this?
pub(super) fn allows(rule: &PolicyRule, attributes: &Attributes) -> bool {
    if !has(&rule.verbs, &attributes.verb) {
        return false;
    }
    if attributes.resource.is_empty() {
        return list(rule.non_resource_urls.as_ref())
            .iter()
            .any(|pattern| url_covers(pattern, &attributes.path));
    }
    let names = list(rule.resource_names.as_ref());
    has(list(rule.api_groups.as_ref()), &attributes.group)
        && list(rule.resources.as_ref())
            .iter()
            .any(|pattern| resource_covers(pattern, &attributes.resource, &attributes.subresource))
        && (names.is_empty() || names.contains(&attributes.name))
}

/// The parts of `wanted` that `owned` does not cover: empty when whoever has `owned` already may
/// do everything that `wanted` allows.
pub(super) fn uncovered(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut budget = MOST_PARTS;
    let parts = wanted.iter().flat_map(|rule| {
        let count = count(rule);
        // Several rules may cover one together, which only its parts tell.
        if covered(owned, rule) {
            Vec::new()
        } else if count > budget {
            vec![rule.clone()]
        } else {
            budget -= count;
            parts(rule)
        }
    });
    parts.filter(|part| !covered(owned, part)).collect()
}

fn covered(owned: &[PolicyRule], part: &PolicyRule) -> bool {
    owned.iter().any(|rule| covers(rule, part))
}

/// Puts the verbs for one resource, or for one object of it, into one rule.
pub(super) fn compact(parts: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut places = HashMap::new();
    let mut compacted: Vec<PolicyRule> = Vec::new();
    for part in parts {
        let about = (&part.api_groups, &part.resources, &part.resource_names);
        let place = match part.non_resource_urls {
            None => *places.entry(about).or_insert(compacted.len()),
            Some(_) => compacted.len(),
        };
        match compacted.get_mut(place) {
            Some(found) => found.verbs.extend(part.verbs.iter().cloned()),
            None => compacted.push(part.clone()),
        }
    }
    compacted
}

/// How many parts a rule has.
fn count(rule: &PolicyRule) -> usize {
    let length = |field: Option<&Vec<String>>| list(field).len();
    let names = length(rule.resource_names.as_ref()).max(1);
    let resources = length(rule.api_groups.as_ref())
        .saturating_mul(length(rule.resources.as_ref()))
        .saturating_mul(names);
    let places = resources.saturating_add(length(rule.non_resource_urls.as_ref()));
    rule.verbs.len().saturating_mul(places)
}

/// A rule as rules with one verb and one resource or path each.
fn parts(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let mut parts = Vec::new();
    for verb in &rule.verbs {
        let verbs = vec![verb.clone()];
        for url in list(rule.non_resource_urls.as_ref()) {
            parts.push(PolicyRule {
                verbs: verbs.clone(),
                non_resource_urls: one(url),
                ..PolicyRule::default()
            });
        }
        for group in list(rule.api_groups.as_ref()) {
            for resource in list(rule.resources.as_ref()) {
                let part = PolicyRule {
                    verbs: verbs.clone(),
                    api_groups: one(group),
                    resources: one(resource),
                    ..PolicyRule::default()
                };
                let names = list(rule.resource_names.as_ref());
                if names.is_empty() {
                    parts.push(part);
                    continue;
                }
                parts.extend(names.iter().map(|name| PolicyRule {
                    resource_names: one(name),
                    ..part.clone()
                }));
            }
        }
    }
    parts
}

/// Does `rule` allow everything that `part`, which has one entry in each list, allows?
fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let verbs = part.verbs.iter().all(|verb| has(&rule.verbs, verb));
    let urls = list(part.non_resource_urls.as_ref());
    if !urls.is_empty() {
        let owned = list(rule.non_resource_urls.as_ref());
        return verbs
            && urls
                .iter()
                .all(|url| owned.iter().any(|pattern| url_covers(pattern, url)));
    }
    let groups = list(rule.api_groups.as_ref());
    let owned = list(rule.resources.as_ref());
    let resource_covered = |wanted: &String| {
        let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
        owned
            .iter()
            .any(|pattern| resource_covers(pattern, resource, subresource))
    };
    let names = list(rule.resource_names.as_ref());
    let wanted_names = list(part.resource_names.as_ref());
    verbs
        && list(part.api_groups.as_ref())
            .iter()
            .all(|group| has(groups, group))
        && list(part.resources.as_ref()).iter().all(resource_covered)
        && (names.is_empty() || !wanted_names.is_empty() && contains_all(names, wanted_names))
}

/// Names are as many as fit into a body, and chosen by whoever has a rule without them.
fn contains_all(names: &[String], wanted: &[String]) -> bool {
    match wanted {
        [one] => names.contains(one),
        wanted => {
            let names: HashSet<&String> = names.iter().collect();
            wanted.iter().all(|name| names.contains(name))
        }
    }
}

/// An optional list; none is empty.
pub(super) fn list(list: Option<&Vec<String>>) -> &[String] {
    list.map_or(&[], Vec::as_slice)
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == ALL || entry == wanted)
}

fn resource_covers(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == ALL {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    pattern
        .split_once('/')
        .is_some_and(|(main, sub)| sub == subresource && (main == ALL || main == resource))
}

fn url_covers(pattern: &str, path: &str) -> bool {
    pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(value: Value) -> PolicyRule {
        serde_json::from_value(value).unwrap()
    }

    fn of(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
        rule(
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names}),
        )
    }

    fn asked(verb: &str, group: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_for_resources() {
        let read = of(&["get", "list"], &[""], &["secrets"], &[]);
        let all = of(&["*"], &["*"], &["*"], &[]);
        let named = of(&["get", "create"], &["g"], &["things"], &["a"]);
        let scale = of(&["update"], &["g"], &["*/scale"], &[]);
        let status = of(&["update"], &["g"], &["things/status"], &[]);
        let cases = [
            (&read, asked("get", "", "secrets", "x"), true),
            (&read, asked("list", "", "secrets", ""), true),
            (&read, asked("watch", "", "secrets", ""), false),
            (&read, asked("get", "g", "secrets", "x"), false),
            (&read, asked("get", "", "configmaps", "x"), false),
            (&read, asked("get", "", "secrets/status", "x"), false),
            (&all, asked("deletecollection", "g", "things", ""), true),
            (&all, asked("update", "g", "things/scale", "x"), true),
            (&named, asked("get", "g", "things", "a"), true),
            (&named, asked("get", "g", "things", "b"), false),
            // The name of a new object is in the body, which rules do not see.
            (&named, asked("create", "g", "things", ""), false),
            (&scale, asked("update", "g", "things/scale", "x"), true),
            (&scale, asked("update", "g", "things", "x"), false),
            (&scale, asked("update", "g", "things/status", "x"), false),
            (&status, asked("update", "g", "things/status", "x"), true),
            (&status, asked("update", "g", "others/status", "x"), false),
        ];
        for (rule, attributes, expected) in cases {
            assert_eq!(allows(rule, &attributes), expected, "{attributes:?}");
        }
    }

    #[test]
    fn rules_for_paths() {
        let cases = [
            ("/apis", "/apis", true),
            ("/apis", "/apis/g", false),
            ("/apis/*", "/apis/g/v1", true),
            ("/apis/*", "/apis", false),
            ("*", "/metrics", true),
            ("/a*", "/api", true),
        ];
        for (pattern, path, expected) in cases {
            let rule = rule(json!({"verbs": ["get"], "nonResourceURLs": [pattern]}));
            let asked = |verb: &str| Attributes {
                verb: verb.into(),
                path: path.into(),
                ..Attributes::default()
            };
            assert_eq!(allows(&rule, &asked("get")), expected, "{pattern} {path}");
            assert!(!allows(&rule, &asked("post")), "{pattern} {path}");
        }
        // Rules for all resources say nothing of paths.
        let resources = of(&["*"], &["*"], &["*"], &[]);
        let path = Attributes {
            verb: "get".into(),
            path: "/metrics".into(),
            ..Attributes::default()
        };
        assert!(!allows(&resources, &path));
    }

    /// A body of some kilobytes, which names more combinations than there is memory for.
    #[test]
    fn many_parts_are_looked_at_as_a_whole() {
        let many: Vec<String> = (0..3000).map(|n| format!("x{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let vast = of(&many, &many, &many, &many);
        let wanted = [vast.clone(), of(&["get"], &[""], &["pods"], &[])];
        assert_eq!(uncovered(&[], &wanted).len(), 2);
        let all = of(&["*"], &["*"], &["*"], &[]);
        assert!(uncovered(&[all], &wanted).is_empty());
        assert_eq!(uncovered(&[vast], &wanted).len(), 1);
    }

    #[test]
    fn what_is_covered() {
        let (read, write) = (
            of(&["get", "list"], &[""], &["secrets"], &[]),
            of(&["create"], &[""], &["secrets"], &[]),
        );
        let all = of(&["*"], &["*"], &["*"], &[]);
        let named = of(&["get"], &[""], &["secrets"], &["a"]);
        let both = of(&["get", "create"], &[""], &["secrets"], &[]);
        let urls = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/apis/*"]}));
        let url = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/apis/g", "/metrics"]}));
        let scale = of(&["get"], &["g"], &["*/scale"], &[]);
        let one_scale = of(&["get"], &["g"], &["things/scale"], &[]);
        let cases: [(&[PolicyRule], &PolicyRule, usize); 10] = [
            (&[], &read, 2),
            (std::slice::from_ref(&read), &both, 1),
            // Several rules may cover one together.
            (&[read.clone(), write], &both, 0),
            (std::slice::from_ref(&read), &named, 0),
            (std::slice::from_ref(&named), &read, 2),
            (std::slice::from_ref(&all), &both, 0),
            (std::slice::from_ref(&read), &all, 1),
            (&[urls], &url, 1),
            (std::slice::from_ref(&scale), &one_scale, 0),
            (std::slice::from_ref(&one_scale), &scale, 1),
        ];
        for (owned, wanted, missing) in cases {
            let found = uncovered(owned, std::slice::from_ref(wanted));
            assert_eq!(found.len(), missing, "{owned:?} {wanted:?} {found:?}");
        }
    }
}
