//! What is particular about writing one kind.
//!
//! A strategy sees whole objects as JSON after pruning and defaulting and before validation.
//! It is synchronous and looks at nothing but its arguments; whatever needs the store is done
//! by the handlers, for every kind alike.

use serde_json::{Value, json};

use crate::meta;
use crate::validation::FieldError;
use crate::validation::names::NameRule;

/// A strategy refuses a request as a whole.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StrategyError(pub String);

/// What a strategy may know of the request.
#[derive(Clone, Debug)]
pub struct WriteContext<'a> {
    /// Time of the request, RFC 3339 in seconds.
    pub now: &'a str,
}

/// See the module. All methods have the behaviour of a plain kind as default.
pub trait Strategy: Send + Sync {
    /// Does `metadata.generation` count changes of this kind?
    fn tracks_generation(&self) -> bool {
        true
    }
    /// Must a PUT carry the version it replaces?
    fn requires_version_on_update(&self) -> bool {
        false
    }
    /// Does a PUT make the object where it is not there?
    fn creates_on_update(&self) -> bool {
        false
    }
    /// Is the answer to a deletion the object that is gone?
    fn returns_deleted(&self) -> bool {
        false
    }
    /// Does an object of this kind run tasks, with the fields of a Deployment? Then quotas and limit
    /// ranges apply to what it asks for.
    fn runs_tasks(&self) -> bool {
        false
    }
    /// Which grammar names follow.
    fn name_rule(&self) -> NameRule {
        NameRule::Subdomain
    }
    /// Fills in what decoding does: defaults, and short forms of fields. The client counts as having
    /// written it.
    fn complete(&self, _object: &mut Value) {}
    /// Completes a new object. `metadata` is already filled in, `status` already removed where
    /// the kind has a status subresource.
    fn prepare_create(&self, _object: &mut Value, _context: &WriteContext<'_>) {}
    /// Completes an update through the main resource; `status` is already the old one.
    fn prepare_update(&self, _object: &mut Value, _old: &Value, _context: &WriteContext<'_>) {}
    /// Removes fields that the schema cannot tell from others, and returns their paths.
    fn prune(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }
    /// Puts what field selectors look for where they look for it.
    fn prepare_selection(&self, _object: &mut Value) {}
    /// What the schema cannot say. `old` is `None` at creation.
    fn validate(&self, _object: &Value, _old: Option<&Value>) -> Vec<FieldError> {
        Vec::new()
    }
    /// May this object be deleted?
    ///
    /// # Errors
    /// The reason why not; answered as 403.
    fn may_delete(&self, _object: &Value) -> Result<(), StrategyError> {
        Ok(())
    }
    /// Does marking for deletion count as a change of what is wanted, and note how much time there is?
    fn deletes_gracefully(&self) -> bool {
        true
    }
    /// Changes an object that is marked for deletion (a namespace becomes `Terminating`).
    fn prepare_delete(&self, _object: &mut Value) {}
    /// Is something other than `metadata.finalizers` holding the object?
    fn held(&self, _object: &Value) -> bool {
        false
    }
    /// What whoever writes this should know although it is valid.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
    /// Is this kind a view of something outside, which one user keeps up and all others only read?
    fn view(&self) -> Option<&'static View> {
        None
    }
}

/// A kind whose objects show what is outside. They are stored like any others, and so have
/// revisions, watches and selectors like any others.
#[derive(Debug)]
pub struct View {
    /// Who keeps it up: may use every verb, and says himself what uid and age his objects have.
    pub writer: &'static str,
    /// What everybody else is to do instead of writing.
    pub instead: &'static str,
    /// Subresources that clients ask for although they are not served, and what to do instead.
    pub missing: &'static [(&'static str, &'static str)],
}

/// A core kind without particularities.
pub struct PlainStrategy {
    /// See [`Strategy::tracks_generation`].
    pub generation: bool,
}

impl Strategy for PlainStrategy {
    fn tracks_generation(&self) -> bool {
        self.generation
    }
}

/// A kind defined by a CRD.
#[derive(Debug, Default)]
pub struct CustomStrategy {
    /// Finalizer that every object is born with, so that none can exist whose outside
    /// resources would outlive it.
    pub finalizer: Option<String>,
    /// Born with `status.observedGeneration: 0` and `Ready=Unknown`, or clients that judge by
    /// conditions would call a new object ready.
    pub initial_status: bool,
    /// See [`Strategy::runs_tasks`].
    pub runs_tasks: bool,
}

impl Strategy for CustomStrategy {
    fn requires_version_on_update(&self) -> bool {
        true
    }

    fn runs_tasks(&self) -> bool {
        self.runs_tasks
    }

    fn prepare_create(&self, object: &mut Value, context: &WriteContext<'_>) {
        self.hold(object);
        if self.initial_status
            && let Some(object) = object.as_object_mut()
        {
            object.insert("status".to_owned(), initial_status(context.now));
        }
    }

    /// A manifest that is put in the place of the object knows nothing of the finalizer: it stays
    /// until the object is marked for deletion.
    fn prepare_update(&self, object: &mut Value, old: &Value, _: &WriteContext<'_>) {
        if !meta::is_deleting(old) {
            self.hold(object);
        }
    }
}

impl CustomStrategy {
    fn hold(&self, object: &mut Value) {
        if let Some(finalizer) = &self.finalizer
            && let Ok(metadata) = meta::fields(object)
        {
            let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
            if list.is_null() {
                *list = json!([]);
            }
            if let Some(list) = list.as_array_mut()
                && !list.iter().any(|item| item == finalizer.as_str())
            {
                list.push(json!(finalizer));
            }
        }
    }
}

fn initial_status(now: &str) -> Value {
    json!({
        "observedGeneration": 0,
        "conditions": [{
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "waiting for the controller",
            "lastTransitionTime": now,
            "observedGeneration": 0,
        }],
    })
}
