//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid` and `-Extra-KEY`.
//!
//! Every part needs the verb `impersonate` on its own; a request that names parts of a user but
//! no user is refused, and never runs as who sent it. Nobody acts as the controllers, who alone keep
//! views up and are never refused for want of room.

use http::HeaderMap;
use percent_encoding::percent_decode_str;

use super::{AUTHENTICATED, CONTROLLERS, UNAUTHENTICATED, UserInfo};
use crate::authz::{ACCOUNT_PREFIX, Attributes, Decision, Rbac, forbidden};
use crate::status_error::ApiError;
use crate::validation::names::{label, subdomain};

const PREFIX: &str = "impersonate-";
const EXTRA: &str = "impersonate-extra-";
const GROUP: &str = "authentication.k8s.io";

/// The user that a request runs as.
///
/// # Errors
/// `Forbidden` for who may not, `BadRequest` for headers that make no sense.
pub(crate) fn effective(
    rbac: &Rbac,
    user: UserInfo,
    headers: &HeaderMap,
) -> Result<UserInfo, ApiError> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(user);
    }
    let wanted = wanted(headers)?;
    if wanted.name == CONTROLLERS {
        let needed = needed(&wanted).swap_remove(0);
        let reason = "nobody acts as the controllers";
        return Err(forbidden(&user, &needed, reason));
    }
    for attributes in needed(&wanted) {
        if let Decision::Deny(reason) = rbac.authorize(&user, &attributes) {
            return Err(forbidden(&user, &attributes, &reason));
        }
    }
    Ok(completed(wanted))
}

/// What the headers say.
fn wanted(headers: &HeaderMap) -> Result<UserInfo, ApiError> {
    let mut wanted = UserInfo::default();
    for (name, value) in headers {
        let Some(part) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        let bad = |what: &str| ApiError::BadRequest(format!("header {name} {what}"));
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| bad("is not UTF-8"))?
            .to_owned();
        match part {
            "user" if wanted.name.is_empty() => wanted.name = value,
            "uid" if value.is_empty() => {}
            "uid" if wanted.uid.is_none() => wanted.uid = Some(value),
            "group" => wanted.groups.push(value),
            "user" | "uid" => return Err(bad("is there more than once")),
            _ => {
                let key = name
                    .as_str()
                    .strip_prefix(EXTRA)
                    .filter(|key| !key.is_empty());
                let key = key.ok_or_else(|| bad("is not known"))?;
                let key = percent_decode_str(key).decode_utf8();
                let key = key.map_err(|_| bad("has a key that is not UTF-8"))?;
                wanted
                    .extra
                    .entry(key.into_owned())
                    .or_default()
                    .push(value);
            }
        }
    }
    if wanted.name.is_empty() {
        let message = "impersonation needs the header Impersonate-User beside the others";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    Ok(wanted)
}

/// The permissions that it takes to be this user.
fn needed(wanted: &UserInfo) -> Vec<Attributes> {
    let part = |group: &str, resource: &str, name: &str| Attributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let mut needed = vec![match account(&wanted.name) {
        Some((namespace, name)) => Attributes {
            namespace: namespace.to_owned(),
            ..part("", "serviceaccounts", name)
        },
        None => part("", "users", &wanted.name),
    }];
    needed.extend(wanted.groups.iter().map(|group| part("", "groups", group)));
    needed.extend(wanted.uid.iter().map(|uid| part(GROUP, "uids", uid)));
    for (key, values) in &wanted.extra {
        needed.extend(values.iter().map(|value| Attributes {
            subresource: key.clone(),
            ..part(GROUP, "userextras", value)
        }));
    }
    needed
}

fn account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix(ACCOUNT_PREFIX)?.split_once(':')?;
    let valid = label(namespace).is_empty() && subdomain(name).is_empty();
    valid.then_some((namespace, name))
}

/// Groups that follow from the name.
fn completed(mut user: UserInfo) -> UserInfo {
    let add = |groups: &mut Vec<String>, group: &str| {
        if !groups.iter().any(|found| found == group) {
            groups.push(group.to_owned());
        }
    };
    if let Some((namespace, _)) = account(&user.name).filter(|_| user.groups.is_empty()) {
        add(&mut user.groups, "system:serviceaccounts");
        add(
            &mut user.groups,
            &format!("system:serviceaccounts:{namespace}"),
        );
    }
    if user.name == "system:anonymous" {
        add(&mut user.groups, UNAUTHENTICATED);
    } else if !user.is_anonymous() {
        add(&mut user.groups, AUTHENTICATED);
    }
    user
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_needed() {
        let all = [
            ("impersonate-user", "bob"),
            ("impersonate-group", "dev"),
            ("impersonate-group", "ops"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-scopes%2fx", "read"),
        ];
        let wanted = wanted(&headers(&all)).unwrap();
        assert_eq!(
            wanted.extra,
            BTreeMap::from([("scopes/x".to_owned(), vec!["read".to_owned()])])
        );
        let needed: Vec<String> = needed(&wanted)
            .into_iter()
            .map(|a| format!("{}|{}|{}|{}", a.group, a.resource, a.subresource, a.name))
            .collect();
        let expected = [
            "|users||bob",
            "|groups||dev",
            "|groups||ops",
            "authentication.k8s.io|uids||7",
            "authentication.k8s.io|userextras|scopes/x|read",
        ];
        assert_eq!(needed, expected);
    }

    #[test]
    fn nobody_runs_as_themselves_by_mistake() {
        let cases: [&[(&'static str, &str)]; 5] = [
            &[("impersonate-group", "dev")],
            &[("impersonate-uid", "1")],
            &[("impersonate-user", "")],
            &[("impersonate-user", "a"), ("impersonate-user", "b")],
            &[("impersonate-user", "a"), ("impersonate-role", "b")],
        ];
        let root = UserInfo::new("root", &[super::super::MASTERS]);
        for case in cases {
            let found = effective(&Rbac::default(), root.clone(), &headers(case));
            assert!(matches!(found, Err(ApiError::BadRequest(_))), "{case:?}");
        }
        let bob = headers(&[("impersonate-user", "bob")]);
        let found = effective(&Rbac::default(), UserInfo::new("eve", &[]), &bob);
        assert_eq!(
            found.unwrap_err().to_string(),
            "users \"bob\" is forbidden: User \"eve\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
        let controllers = headers(&[("impersonate-user", CONTROLLERS)]);
        let found = effective(&Rbac::default(), root.clone(), &controllers);
        assert!(matches!(found, Err(ApiError::Forbidden { .. })));
        let user = effective(&Rbac::default(), root, &bob).unwrap();
        assert_eq!(user, UserInfo::new("bob", &[]));
    }

    #[test]
    fn groups_follow_from_the_name() {
        let groups = |name: &str, given: &[&str]| {
            let groups = given.iter().map(|&group| group.to_owned()).collect();
            let user = UserInfo {
                name: name.to_owned(),
                groups,
                ..UserInfo::default()
            };
            completed(user).groups
        };
        let account = "system:serviceaccount:shop:robot";
        assert_eq!(
            groups(account, &[]),
            [
                "system:serviceaccounts",
                "system:serviceaccounts:shop",
                AUTHENTICATED
            ]
        );
        assert_eq!(groups(account, &["x"]), ["x", AUTHENTICATED]);
        assert_eq!(groups("system:anonymous", &[]), [UNAUTHENTICATED]);
        assert_eq!(groups("u", &[UNAUTHENTICATED]), [UNAUTHENTICATED]);
    }
}
