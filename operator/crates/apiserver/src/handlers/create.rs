//! Make one object.

use http::StatusCode;

use super::write::{Proposal, check_readable, insert};
use super::{Call, Reply};
use crate::builtin::review;
use crate::decode;
use crate::registry::Backing;

/// `POST …` to a collection.
pub(crate) async fn create(call: &Call) -> Reply {
    if call.def.backing == Backing::Review {
        return review::answer(call).await;
    }
    let decoded = decode::body(call.content_type(), &call.body)?;
    check_readable(&call.def, &decoded.value)?;
    let proposal = Proposal {
        object: decoded.value,
        problems: decoded.problems,
        ..Proposal::default()
    };
    insert(call, proposal)
        .await?
        .reply(call, StatusCode::CREATED)
}
