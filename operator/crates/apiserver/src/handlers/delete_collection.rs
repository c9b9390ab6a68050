//! Delete many objects: each by itself, as if named one by one.

use futures::{StreamExt, TryStreamExt, future, stream};
use store::{Consistency, ListQuery};

use super::delete::{Deleted, delete_stored, options};
use super::list::{namespace, selection};
use super::{Call, Reply};
use crate::negotiate::ListPosition;
use crate::status_error::ApiError;

/// How many are deleted at a time: the store writes them together.
const CONCURRENCY: usize = 32;

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
    let deletions = page.objects.into_iter().map(async |object| {
        match delete_stored(&call.server, &call.def, &object.key, &options).await {
            Ok(Deleted::Marked(_) | Deleted::Gone(_) | Deleted::WouldMark(_)) => Ok(Some(object)),
            // Somebody else was faster.
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let deleted = stream::iter(deletions).buffered(CONCURRENCY);
    let objects: Vec<_> = deleted.try_filter_map(future::ok).try_collect().await?;
    call.renderer.list(
        objects,
        &ListPosition {
            revision: page.revision,
            ..ListPosition::default()
        },
    )
}
