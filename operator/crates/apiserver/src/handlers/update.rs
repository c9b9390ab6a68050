//! Replace one object; of some kinds, make it where there is none.

use http::StatusCode;

use super::write::{Part, Proposal, check_place, check_readable, conflict, insert, rewrite};
use super::{Call, Reply};
use crate::authz::may_create;
use crate::decode;
use crate::meta;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// `PUT …/NAME`, and `PUT …/NAME/status`.
pub(crate) async fn update(call: &Call, part: Part) -> Reply {
    let decoded = decode::body(call.content_type(), &call.body)?;
    let mut object = decoded.value;
    check_readable(&call.def, &object)?;
    if meta::fields(&mut object)?
        .get("name")
        .is_none_or(|name| name.as_str().unwrap_or_default().is_empty())
    {
        let problem = FieldError::required("metadata.name", "name must be provided");
        return Err(ApiError::invalid_field(&call.def, &call.path.name, problem));
    }
    check_place(call, &object)?;
    let versioned = !matches!(meta::text(&object, "resourceVersion"), "" | "0");
    // Asked only of an object that is there: that there is none is the better answer.
    let change = |_: &serde_json::Value| {
        if !versioned && call.def.strategy.requires_version_on_update() {
            let problem = FieldError::invalid(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            );
            return Err(ApiError::invalid_field(&call.def, &call.path.name, problem));
        }
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
