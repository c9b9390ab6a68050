//! Role-based access control: who has which rules.
//!
//! Roles and bindings are indexed in memory, kept current by watches of the store: no request
//! reads the store. A change is in force when the watch has brought it, within milliseconds.
//! While the store is away the last state stays in force. An object that cannot be read gives
//! nobody anything.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject};
use parking_lot::RwLock;
use serde::Deserialize;
use store::{Object, Store, WatchEvent, WatchFrom, WatchQuery, Watcher};
use tokio::task::JoinSet;

use super::rules::allows;
use super::{Attributes, Decision, PUBLIC};
use crate::authn::{MASTERS, UserInfo};

/// API group of the RBAC kinds.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
/// Beginning of the names of service accounts as users.
pub(crate) const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Pause before a watch that has ended is opened again.
const RETRY: Duration = Duration::from_millis(500);

/// The kinds that the index is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Roles,
    ClusterRoles,
    RoleBindings,
    ClusterRoleBindings,
}

impl Kind {
    const EVERY: [Self; 4] = [
        Self::Roles,
        Self::ClusterRoles,
        Self::RoleBindings,
        Self::ClusterRoleBindings,
    ];

    fn storage(self) -> Arc<str> {
        let plural = match self {
            Self::Roles => "roles",
            Self::ClusterRoles => "clusterroles",
            Self::RoleBindings => "rolebindings",
            Self::ClusterRoleBindings => "clusterrolebindings",
        };
        crate::registry::storage_name(GROUP, plural)
    }

    fn is_role(self) -> bool {
        matches!(self, Self::Roles | Self::ClusterRoles)
    }

    fn is_cluster(self) -> bool {
        matches!(self, Self::ClusterRoles | Self::ClusterRoleBindings)
    }
}

/// What is of interest in a stored role; missing is empty.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Role {
    #[serde(default)]
    pub(super) rules: Option<Vec<PolicyRule>>,
}

/// What is of interest in a stored binding.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding {
    pub(super) role_ref: RoleRef,
    #[serde(default)]
    pub(super) subjects: Option<Vec<Subject>>,
}

/// Objects by namespace, then name; what is cluster-wide is under the empty namespace.
type Objects<T> = HashMap<Arc<str>, BTreeMap<Arc<str>, T>>;

#[derive(Debug, Default)]
struct Index {
    roles: Objects<Vec<PolicyRule>>,
    bindings: Objects<Binding>,
}

/// The authorizer; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rbac {
    index: Arc<RwLock<Index>>,
}

/// The rules of somebody, and which bound roles do not exist.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) rules: Vec<PolicyRule>,
    pub(crate) missing: Vec<String>,
}

impl Rbac {
    /// Reads all roles and bindings, and follows them for as long as the tasks live.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn follow(store: &Store) -> Result<(Self, JoinSet<()>), store::Error> {
        let rbac = Self::default();
        let mut tasks = JoinSet::new();
        for kind in Kind::EVERY {
            let watcher = rbac.load(store, kind).await?;
            let (rbac, store) = (rbac.clone(), store.clone());
            tasks.spawn(async move { rbac.run(&store, kind, watcher).await });
        }
        Ok((rbac, tasks))
    }

    /// May this user do this?
    pub(crate) fn authorize(&self, user: &UserInfo, attributes: &Attributes) -> Decision {
        let reads = matches!(attributes.verb.as_str(), "get" | "head");
        if user.groups.iter().any(|group| group == MASTERS)
            || attributes.resource.is_empty() && reads && PUBLIC.contains(&&*attributes.path)
        {
            return Decision::Allow(String::new());
        }
        let mut missing = Vec::new();
        let flow = self.visit(
            user,
            &attributes.namespace,
            &mut missing,
            |source, rule| match allows(rule, attributes) {
                true => ControlFlow::Break(format!("RBAC: allowed by {source}")),
                false => ControlFlow::Continue(()),
            },
        );
        match (flow, missing.as_slice()) {
            (ControlFlow::Break(reason), _) => Decision::Allow(reason),
            (_, []) => Decision::Deny(String::new()),
            (_, many) => Decision::Deny(format!("RBAC: {}", together(many))),
        }
    }

    /// All rules of a user in a namespace, or in the cluster where it is empty.
    pub(crate) fn rules_of(&self, user: &UserInfo, namespace: &str) -> Granted {
        let mut granted = Granted::default();
        let rules = &mut granted.rules;
        let _ = self.visit(user, namespace, &mut granted.missing, |_, rule| {
            rules.push(rule.clone());
            ControlFlow::<()>::Continue(())
        });
        granted
    }

    /// The rules of the role that a binding in `namespace` refers to; `None` where there is none.
    pub(super) fn rules_of_role(&self, role: &RoleRef, namespace: &str) -> Option<Vec<PolicyRule>> {
        self.index.read().role(role, namespace).cloned()
    }

    /// Calls `act` with each rule that is bound to this user. Cluster-wide bindings come first.
    fn visit<T>(
        &self,
        user: &UserInfo,
        namespace: &str,
        missing: &mut Vec<String>,
        mut act: impl FnMut(&Source<'_>, &PolicyRule) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let index = self.index.read();
        let scopes = ["", namespace];
        for scope in &scopes[..if namespace.is_empty() { 1 } else { 2 }] {
            for (name, binding) in index.bindings.get(*scope).into_iter().flatten() {
                let mut subjects = binding.subjects.iter().flatten();
                let Some(subject) = subjects.find(|subject| is(subject, user, scope)) else {
                    continue;
                };
                let source = Source {
                    namespace: scope,
                    name,
                    role: &binding.role_ref,
                    subject,
                };
                match index.role(&binding.role_ref, scope) {
                    Some(rules) => rules.iter().try_for_each(|rule| act(&source, rule))?,
                    None => missing.push(not_found(&binding.role_ref)),
                }
            }
        }
        ControlFlow::Continue(())
    }

    async fn run(&self, store: &Store, kind: Kind, mut watcher: Watcher) {
        loop {
            while let Some(event) = watcher.next().await {
                self.apply(kind, event);
            }
            watcher = loop {
                match self.load(store, kind).await {
                    Ok(watcher) => break watcher,
                    Err(error) => {
                        tracing::warn!(%error, ?kind, "cannot follow roles and bindings, trying again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
        }
    }

    /// Puts the current state of a kind into the place of what is indexed of it.
    async fn load(&self, store: &Store, kind: Kind) -> Result<Watcher, store::Error> {
        let query = WatchQuery {
            resource: kind.storage(),
            namespace: None,
            filter: None,
            from: WatchFrom::InitialEvents(None),
            bookmarks: false,
        };
        'again: loop {
            let mut watcher = store.watch(query.clone()).await?;
            let mut objects = Vec::new();
            loop {
                match watcher.next().await {
                    Some(WatchEvent::InitialEventsEnd(_)) => break,
                    Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                        objects.push(object);
                    }
                    Some(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_)) => {}
                    None => continue 'again,
                }
            }
            let mut index = self.index.write();
            index.clear(kind);
            for object in &objects {
                index.put(kind, object);
            }
            return Ok(watcher);
        }
    }

    fn apply(&self, kind: Kind, event: WatchEvent) {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.index.write().put(kind, &object);
            }
            WatchEvent::Deleted(object) => self.index.write().remove(kind, &object),
            WatchEvent::Bookmark(_) | WatchEvent::InitialEventsEnd(_) => {}
        }
    }
}

impl Index {
    fn role(&self, role: &RoleRef, namespace: &str) -> Option<&Vec<PolicyRule>> {
        let namespace = if role.kind == "ClusterRole" {
            ""
        } else {
            namespace
        };
        self.roles.get(namespace)?.get(role.name.as_str())
    }

    fn clear(&mut self, kind: Kind) {
        let keep = |namespace: &str| namespace.is_empty() != kind.is_cluster();
        if kind.is_role() {
            self.roles.retain(|namespace, _| keep(namespace));
        } else {
            self.bindings.retain(|namespace, _| keep(namespace));
        }
    }

    fn put(&mut self, kind: Kind, object: &Object) {
        let read = if kind.is_role() {
            serde_json::from_slice::<Role>(&object.json).map(|role| {
                insert(&mut self.roles, object, role.rules.unwrap_or_default());
            })
        } else {
            serde_json::from_slice(&object.json).map(|binding| {
                insert(&mut self.bindings, object, binding);
            })
        };
        if let Err(error) = read {
            tracing::error!(%error, key = %object.key, "gives nobody anything: it cannot be read");
            self.remove(kind, object);
        }
    }

    fn remove(&mut self, kind: Kind, object: &Object) {
        if kind.is_role() {
            take(&mut self.roles, object);
        } else {
            take(&mut self.bindings, object);
        }
    }
}

fn insert<T>(objects: &mut Objects<T>, object: &Object, value: T) {
    let namespace = objects.entry(object.key.namespace.clone()).or_default();
    namespace.insert(object.key.name.clone(), value);
}

fn take<T>(objects: &mut Objects<T>, object: &Object) {
    if let Some(namespace) = objects.get_mut(&object.key.namespace) {
        namespace.remove(&object.key.name);
        if namespace.is_empty() {
            objects.remove(&object.key.namespace);
        }
    }
}

/// Is this the user, one of their groups, or the service account that they are? Service accounts
/// without namespace are in that of the binding.
fn is(subject: &Subject, user: &UserInfo, namespace: &str) -> bool {
    match subject.kind.as_str() {
        "User" => user.name == subject.name,
        "Group" => user.groups.contains(&subject.name),
        "ServiceAccount" => {
            let namespace = subject
                .namespace
                .as_deref()
                .filter(|given| !given.is_empty())
                .unwrap_or(namespace);
            let account = user.name.strip_prefix(ACCOUNT_PREFIX);
            !namespace.is_empty()
                && account.and_then(|account| account.split_once(':'))
                    == Some((namespace, &subject.name))
        }
        _ => false,
    }
}

/// The binding, and the subject in it, by which somebody has a rule.
struct Source<'a> {
    namespace: &'a str,
    name: &'a str,
    role: &'a RoleRef,
    subject: &'a Subject,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            name,
            role: RoleRef {
                kind, name: role, ..
            },
            subject,
        } = self;
        match namespace.is_empty() {
            true => write!(f, "ClusterRoleBinding {name:?}")?,
            false => write!(f, "RoleBinding \"{name}/{namespace}\"")?,
        }
        write!(f, " of {kind} {role:?} to {} ", subject.kind)?;
        let given = subject
            .namespace
            .as_deref()
            .filter(|given| !given.is_empty());
        match subject.kind.as_str() {
            "ServiceAccount" => write!(f, "\"{}/{}\"", subject.name, given.unwrap_or(namespace)),
            _ => write!(f, "{:?}", subject.name),
        }
    }
}

/// Several errors as one.
pub(crate) fn together(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn not_found(role: &RoleRef) -> String {
    format!(
        "{}.{GROUP} \"{}\" not found",
        role.kind.to_lowercase(),
        role.name
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};
    use store::Key;

    use super::*;

    fn rbac(objects: &[(Kind, &str, &str, Value)]) -> Rbac {
        let rbac = Rbac::default();
        for (kind, namespace, name, value) in objects {
            let key = Key::new(kind.storage(), *namespace, *name);
            let mut value = value.clone();
            value["metadata"] = json!({"name": name, "namespace": namespace});
            let object = Object::from_value(key, 1, value).unwrap();
            rbac.apply(*kind, WatchEvent::Added(object));
        }
        rbac
    }

    fn role(verb: &str, resource: &str) -> Value {
        json!({"rules": [{"verbs": [verb], "apiGroups": [""], "resources": [resource]}]})
    }

    fn bind(kind: &str, role: &str, subject: Value) -> Value {
        json!({"roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}, "subjects": [subject]})
    }

    fn asked(verb: &str, resource: &str, namespace: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            ..Attributes::default()
        }
    }

    fn example() -> Rbac {
        let user = |name: &str| json!({"kind": "User", "name": name});
        let account = |namespace: Value| json!({"kind": "ServiceAccount", "name": "robot", "namespace": namespace});
        rbac(&[
            (Kind::ClusterRoles, "", "reader", role("get", "secrets")),
            (Kind::Roles, "shop", "writer", role("create", "secrets")),
            (
                Kind::ClusterRoleBindings,
                "",
                "everywhere",
                bind("ClusterRole", "reader", user("ann")),
            ),
            (
                Kind::ClusterRoleBindings,
                "",
                "team",
                bind(
                    "ClusterRole",
                    "reader",
                    json!({"kind": "Group", "name": "dev"}),
                ),
            ),
            (
                Kind::RoleBindings,
                "shop",
                "here",
                bind("ClusterRole", "reader", user("bob")),
            ),
            (
                Kind::RoleBindings,
                "shop",
                "write",
                bind("Role", "writer", user("bob")),
            ),
            (
                Kind::RoleBindings,
                "shop",
                "robot",
                bind("Role", "writer", account(Value::Null)),
            ),
            (
                Kind::RoleBindings,
                "shop",
                "other",
                bind("Role", "writer", account(json!("lab"))),
            ),
            (
                Kind::RoleBindings,
                "shop",
                "dangling",
                bind("Role", "gone", user("eve")),
            ),
        ])
    }

    #[test]
    fn who_may_what_where() {
        let rbac = example();
        let user = |name: &str, groups: &[&str]| UserInfo::new(name, groups);
        let cases = [
            (user("ann", &[]), asked("get", "secrets", "shop"), true),
            (user("ann", &[]), asked("get", "secrets", ""), true),
            (user("ann", &[]), asked("create", "secrets", "shop"), false),
            (user("x", &["dev"]), asked("get", "secrets", "lab"), true),
            (user("dev", &[]), asked("get", "secrets", "lab"), false),
            (user("bob", &[]), asked("get", "secrets", "shop"), true),
            (user("bob", &[]), asked("get", "secrets", "lab"), false),
            // A list over all namespaces is not covered by the rights in one.
            (user("bob", &[]), asked("get", "secrets", ""), false),
            (user("bob", &[]), asked("create", "secrets", "shop"), true),
            (user("bob", &[]), asked("create", "secrets", "lab"), false),
            (
                user("system:serviceaccount:shop:robot", &[]),
                asked("create", "secrets", "shop"),
                true,
            ),
            (
                user("system:serviceaccount:lab:robot", &[]),
                asked("create", "secrets", "shop"),
                true,
            ),
            (
                user("system:serviceaccount:lab:robot", &[]),
                asked("create", "secrets", "lab"),
                false,
            ),
            (
                user("robot", &[]),
                asked("create", "secrets", "shop"),
                false,
            ),
            (user("x", &[MASTERS]), asked("delete", "nodes", ""), true),
        ];
        for (user, attributes, expected) in cases {
            let decision = rbac.authorize(&user, &attributes);
            assert_eq!(decision.allows(), expected, "{} {attributes:?}", user.name);
        }
        assert_eq!(
            rbac.authorize(&user("eve", &[]), &asked("get", "secrets", "shop")),
            Decision::Deny("RBAC: role.rbac.authorization.k8s.io \"gone\" not found".into())
        );
        let reason = |user: UserInfo, asked| match rbac.authorize(&user, &asked) {
            Decision::Allow(reason) | Decision::Deny(reason) => reason,
        };
        assert_eq!(
            reason(user("x", &["dev"]), asked("get", "secrets", "lab")),
            "RBAC: allowed by ClusterRoleBinding \"team\" of ClusterRole \"reader\" to Group \"dev\""
        );
        assert_eq!(
            reason(
                user("system:serviceaccount:shop:robot", &[]),
                asked("create", "secrets", "shop")
            ),
            "RBAC: allowed by RoleBinding \"robot/shop\" of Role \"writer\" to ServiceAccount \"robot/shop\""
        );
        assert_eq!(reason(user("x", &[MASTERS]), asked("get", "x", "")), "");
        assert_eq!(rbac.rules_of(&user("bob", &[]), "shop").rules.len(), 2);
        assert_eq!(rbac.rules_of(&user("bob", &[]), "").rules.len(), 0);
    }

    #[test]
    fn only_health_and_version_are_public() {
        let rbac = Rbac::default();
        let path = |verb: &str, path: &str| Attributes {
            verb: verb.into(),
            path: path.into(),
            ..Attributes::default()
        };
        for user in [UserInfo::anonymous(), UserInfo::new("u", &[])] {
            for public in ["/livez", "/readyz", "/healthz", "/health", "/version"] {
                assert!(rbac.authorize(&user, &path("get", public)).allows());
                assert!(!rbac.authorize(&user, &path("post", public)).allows());
            }
            for closed in ["/", "/metrics", "/api", "/apis", "/openapi/v2", "/versions"] {
                assert!(!rbac.authorize(&user, &path("get", closed)).allows());
            }
        }
    }

    #[test]
    fn what_goes_or_cannot_be_read_gives_nothing() {
        let rbac = example();
        let (ann, get) = (UserInfo::new("ann", &[]), asked("get", "secrets", ""));
        let event = |value: Value| {
            let key = Key::new(Kind::ClusterRoleBindings.storage(), "", "everywhere");
            Object::from_value(key, 2, value).unwrap()
        };
        let good = bind(
            "ClusterRole",
            "reader",
            json!({"kind": "User", "name": "ann"}),
        );
        let with_meta = |mut value: Value| {
            value["metadata"] = json!({"name": "everywhere"});
            value
        };
        rbac.apply(
            Kind::ClusterRoleBindings,
            WatchEvent::Deleted(event(with_meta(good.clone()))),
        );
        assert!(!rbac.authorize(&ann, &get).allows());
        rbac.apply(
            Kind::ClusterRoleBindings,
            WatchEvent::Added(event(with_meta(good))),
        );
        assert!(rbac.authorize(&ann, &get).allows());
        let bad = with_meta(json!({"roleRef": 5}));
        rbac.apply(Kind::ClusterRoleBindings, WatchEvent::Modified(event(bad)));
        assert!(!rbac.authorize(&ann, &get).allows());
    }
}
