//! Server-side apply: the client states all that it wants, the server knows what it stated before.

use http::StatusCode;
use serde_json::{Value, json};

use super::admit::nameless;
use super::write::{Part, Proposal, Written, conflict, insert, rewrite, with_manager};
use super::{Call, Reply, definition_ends};
use crate::authz;
use crate::decode;
use crate::managed_fields::{self, ApplyError};
use crate::meta;
use crate::registry::Verb;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// How often an object may come and go while it is being applied.
const ATTEMPTS: usize = 8;

/// `PATCH …/NAME` with an apply patch: changes the object, or makes it.
pub(crate) async fn apply(call: &Call, part: Part) -> Reply {
    let stated = Stated::of(call)?;
    let name = stated.config["metadata"].get("name");
    if name.is_some_and(|name| name.is_null() || name == "") {
        return Err(nameless(call));
    }
    for _ in 0..ATTEMPTS {
        match stated.change(call, part).await {
            Err(ApiError::NotFound(_)) if part == Part::Main => {}
            done => return done?.reply(call, StatusCode::OK),
        }
        authz::may_create(call)?;
        if call.def.custom && !call.def.supports(Verb::Create) {
            return Err(definition_ends(call));
        }
        let uid = meta::text(&stated.config, "uid");
        if !uid.is_empty() {
            let message = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(conflict(&call.def, &call.path.name, &message));
        }
        match insert(call, stated.proposal(call, None)?).await {
            Err(ApiError::AlreadyExists(_) | ApiError::Leaving(_)) if !call.query.dry_run()? => {}
            done => {
                return done.and_then(|written: Written| written.reply(call, StatusCode::CREATED));
            }
        }
    }
    Err(ApiError::Timeout)
}

/// What an apply patch states.
pub(crate) struct Stated {
    /// All fields that the manager wants.
    pub(crate) config: Value,
    /// What strict decoding objects to.
    pub(crate) problems: Vec<String>,
    force: bool,
}

impl Stated {
    /// Reads the request.
    ///
    /// # Errors
    /// A missing manager, or a body that cannot be read.
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        if call.query.set("fieldManager").is_none() {
            let problem = FieldError::required("fieldManager", "is required for apply patch");
            return Err(call.query.invalid(problem));
        }
        let force = call.query.flag("force");
        let mut decoded = decode::yaml_body(&call.body)?;
        if decoded.value.is_null() {
            decoded.value = json!({});
        }
        Ok(Self {
            config: decoded.value,
            problems: decoded.problems,
            force,
        })
    }

    /// Merges it into the object that is there.
    pub(crate) async fn change(&self, call: &Call, part: Part) -> Result<Written, ApiError> {
        let merged = |current: &Value| self.proposal(call, Some(current));
        rewrite(call, &call.key(), part, merged).await
    }

    fn proposal(&self, call: &Call, live: Option<&Value>) -> Result<Proposal, ApiError> {
        let object = with_manager(call, |manager, reset| {
            let schema = &call.def.schema;
            managed_fields::apply(schema, live, &self.config, manager, self.force, reset)
        });
        Ok(Proposal {
            object: object.map_err(error)?,
            problems: self.problems.clone(),
            tracked: true,
        })
    }
}

fn error(error: ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => ApiError::ApplyConflict(conflicts),
        ApplyError::Corrupt(_) => ApiError::Internal(error.to_string()),
        ApplyError::Misfit { .. } => ApiError::Unknown(error.to_string()),
        other => ApiError::BadRequest(other.to_string()),
    }
}
