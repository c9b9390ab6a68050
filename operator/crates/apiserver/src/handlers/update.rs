//! Replace one object; of some kinds, make it where there is none.

use http::StatusCode;
use serde_json::Value;

use super::admit::{admit, check_place};
use super::write::{Part, Proposal, conflict, insert, rewrite};
use super::{Call, Reply, body};
use crate::authz::may_create;
use crate::meta;
use crate::registry::ResourceDef;
use crate::status_error::ApiError;

/// `PUT …/NAME`, and `PUT …/NAME/status`.
pub(crate) async fn update(call: &Call, part: Part) -> Reply {
    let decoded = body::object(call, &call.def)?;
    let mut object = decoded.value;
    meta::fields(&mut object)?;
    check_place(call, &object)?;
    let change = |current: &Value| {
        check_uid(&call.def, &object, current)?;
        Ok(Proposal {
            object: object.clone(),
            problems: decoded.problems.clone(),
            ..Proposal::default()
        })
    };
    let creates = part == Part::Main && call.def.strategy.creates_on_update();
    match rewrite(call, &call.key(), part, change).await {
        Err(ApiError::NotFound(_)) if creates => {
            let proposal = Proposal {
                object,
                problems: decoded.problems,
                ..Proposal::default()
            };
            make(call, proposal).await
        }
        Err(missing @ ApiError::NotFound(_)) => {
            // What is wrong with the body is told before that there is nothing to replace.
            admit(call, &call.def, &mut object, decoded.problems)?;
            Err(missing)
        }
        written => written?.reply(call, StatusCode::OK),
    }
}

/// Makes the object that was to be replaced.
async fn make(call: &Call, mut proposal: Proposal) -> Reply {
    may_create(call)?;
    let uid = meta::text(&proposal.object, "uid");
    if !uid.is_empty() {
        let message =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
        return Err(conflict(&call.def, &call.path.name, &message));
    }
    meta::fields(&mut proposal.object)?.remove("resourceVersion");
    insert(call, proposal)
        .await?
        .reply(call, StatusCode::CREATED)
}

/// What is put in the place of an object must not be meant for another one.
pub(crate) fn check_uid(def: &ResourceDef, new: &Value, old: &Value) -> Result<(), ApiError> {
    let (wanted, found) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let message =
        format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(conflict(def, meta::name(old), &message))
}
