//! Make one object.

use http::StatusCode;

use super::write::{Proposal, insert};
use super::{Call, Reply, body};
use crate::builtin::review;
use crate::registry::Backing;

/// `POST …` to a collection.
pub(crate) async fn create(call: &Call) -> Reply {
    if call.def.backing == Backing::Review {
        return review::answer(call).await;
    }
    let decoded = body::object(call, &call.def)?;
    let proposal = Proposal {
        object: decoded.value,
        problems: decoded.problems,
        ..Proposal::default()
    };
    insert(call, proposal)
        .await?
        .reply(call, StatusCode::CREATED)
}
