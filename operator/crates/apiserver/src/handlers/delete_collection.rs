//! Delete many objects: each by itself, as if named one by one.

use store::{Consistency, ListQuery};

use super::delete::{Deleted, delete_stored, options};
use super::list::{namespace, selection};
use super::{Call, Reply};
use crate::negotiate::ListPosition;
use crate::status_error::ApiError;

/// `DELETE …` of a collection; answers with what was deleted or marked, as it was before.
pub(crate) async fn delete_collection(call: &Call) -> Reply {
    let options = options(call)?;
    let query = ListQuery {
        resource: call.def.storage.clone(),
        namespace: namespace(call),
        filter: selection(call)?.filter(&call.def),
        at: Consistency::Latest,
        after: None,
        limit: call.query.limit()?,
    };
    let page = call.server.inner.store.list(query).await?;
    let mut objects = Vec::with_capacity(page.objects.len());
    for object in &page.objects {
        match delete_stored(&call.server, &call.def, &object.key, &options).await {
            Ok(Deleted::Marked(_) | Deleted::Gone(_) | Deleted::WouldMark(_)) => {
                objects.push(object.clone());
            }
            // Somebody else was faster.
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    call.renderer.list(
        &objects,
        &ListPosition {
            revision: page.revision,
            ..ListPosition::default()
        },
    )
}
