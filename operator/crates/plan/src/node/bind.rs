//! Which object speaks of which machine.
//!
//! The Swarm id decides; host names are not unique and only help an object that has no id yet
//! (F50). A binding once made lasts as long as the machine is in the Swarm.

use std::collections::{BTreeMap, BTreeSet};

use api_types::Node;

use crate::hash::short_hash;
use crate::model;

/// Which object is bound to which machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings {
    /// Per name of an object.
    pub objects: BTreeMap<String, Binding>,
}

/// What an object is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// This machine (its Swarm id).
    Bound(String),
    /// None.
    Not(Unbound),
}

/// Why an object is bound to no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// No machine of that name or id is in the Swarm.
    NotJoined,
    /// Several machines have its name as host name; their Swarm ids.
    Ambiguous(Vec<String>),
    /// Another object, named here, is bound to the machine.
    AlreadyBound(String),
}

impl Bindings {
    /// The machine of an object.
    pub(crate) fn machine<'a>(
        &self,
        object: &Node,
        machines: &'a [model::Node],
    ) -> Option<&'a model::Node> {
        match self.objects.get(name(object)) {
            Some(Binding::Bound(id)) => machines.iter().find(|machine| machine.id == *id),
            Some(Binding::Not(_)) | None => None,
        }
    }

    /// Names of the objects by the id of their machine.
    pub fn names(&self) -> BTreeMap<&str, &str> {
        let bound = self
            .objects
            .iter()
            .filter_map(|(name, binding)| match binding {
                Binding::Bound(id) => Some((id.as_str(), name.as_str())),
                Binding::Not(_) => None,
            });
        bound.collect()
    }

    /// Ids of machines that an object is bound to.
    pub(crate) fn bound(&self) -> BTreeSet<String> {
        let id = |binding: &'_ Binding| match binding {
            Binding::Bound(id) => Some(id.clone()),
            Binding::Not(_) => None,
        };
        self.objects.values().filter_map(id).collect()
    }
}

/// Binds objects to machines. The order of the input does not matter.
///
/// First those that name an id in their spec, then those that were bound before, then by host
/// name; within each, the older object first.
pub fn bind<'a>(objects: impl IntoIterator<Item = &'a Node>, machines: &[model::Node]) -> Bindings {
    let mut objects: Vec<&Node> = objects.into_iter().collect();
    objects.sort_by_key(|object| {
        (
            object
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0),
            name(object),
        )
    });
    let joined: BTreeSet<&str> = machines.iter().map(|machine| machine.id.as_str()).collect();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut bindings = Bindings::default();
    for object in &objects {
        if let Some(id) = &object.spec.swarm_id {
            take(
                &mut bindings,
                &mut taken,
                object,
                joined.contains(id.as_str()).then_some(id),
            );
        }
    }
    for object in objects
        .iter()
        .filter(|object| object.spec.swarm_id.is_none())
    {
        let before = object
            .status
            .as_ref()
            .and_then(|status| status.swarm_id.as_ref());
        if let Some(id) =
            before.filter(|id| joined.contains(id.as_str()) && !taken.contains_key(*id))
        {
            take(&mut bindings, &mut taken, object, Some(id));
        }
    }
    for object in &objects {
        if bindings.objects.contains_key(name(object)) {
            continue;
        }
        let named: Vec<&model::Node> = machines
            .iter()
            .filter(|machine| object_name(&machine.hostname) == name(object))
            .collect();
        let free: Vec<&&model::Node> = named
            .iter()
            .filter(|machine| !taken.contains_key(&machine.id))
            .collect();
        match (free.as_slice(), named.first()) {
            ([machine], _) => take(&mut bindings, &mut taken, object, Some(&machine.id)),
            ([], None) => take(&mut bindings, &mut taken, object, None),
            ([], Some(machine)) => take(&mut bindings, &mut taken, object, Some(&machine.id)),
            (several, _) => {
                let ids = several.iter().map(|machine| machine.id.clone()).collect();
                bindings.objects.insert(
                    name(object).to_owned(),
                    Binding::Not(Unbound::Ambiguous(ids)),
                );
            }
        }
    }
    bindings
}

/// Binds an object to a machine, unless another has it.
fn take(
    bindings: &mut Bindings,
    taken: &mut BTreeMap<String, String>,
    object: &Node,
    id: Option<&String>,
) {
    let binding = match id {
        None => Binding::Not(Unbound::NotJoined),
        Some(id) => match taken.get(id) {
            Some(other) => Binding::Not(Unbound::AlreadyBound(other.clone())),
            None => {
                taken.insert(id.clone(), name(object).to_owned());
                Binding::Bound(id.clone())
            }
        },
    };
    bindings.objects.insert(name(object).to_owned(), binding);
}

pub(crate) fn name(object: &Node) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// The host name as the name of an object: lower case, and nothing that such a name may not have.
pub(crate) fn object_name(hostname: &str) -> String {
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = hostname.chars().map(clean).take(200).collect();
    text.trim_matches(['-', '.']).to_owned()
}

/// A name for a machine whose host name is no name of its own.
pub(crate) fn unique_name(machine: &model::Node) -> String {
    let base = object_name(&machine.hostname);
    let base = if base.is_empty() {
        "node".to_owned()
    } else {
        base
    };
    format!("{base}-{}", short_hash(&machine.id))
}
