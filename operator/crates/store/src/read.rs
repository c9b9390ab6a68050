//! Get and list: from the cache, from the cache with its recent events undone, or from the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::db;
use crate::error::Error;
use crate::object::{Key, Object};
use crate::query::{Consistency, ListQuery, Page};
use crate::shared::Core;

/// Objects per statement when a list is read from the log, at most.
const CHUNK: usize = 1000;

/// One object; the cache is as fresh as asked.
pub(crate) async fn get(
    core: &Core,
    key: &Key,
    at: Consistency,
) -> Result<Option<Arc<Object>>, Error> {
    let Consistency::Exact(revision) = at else {
        return Ok(core.cache.read(|state| state.get(key).cloned()));
    };
    let recent = core.cache.read(|state| {
        let mut changes = state.history.after(revision)?;
        let change = changes.find(|event| event.object.key == *key);
        Some(change.map_or_else(|| state.get(key).cloned(), |event| event.previous.clone()))
    });
    match recent {
        Some(object) => Ok(object),
        None => {
            let (head, object) = db::get_at(&core.pool, key, revision).await?;
            check(revision, head.compacted)?;
            Ok(object)
        }
    }
}

/// Many objects; the cache is as fresh as asked.
pub(crate) async fn list(core: &Core, query: ListQuery) -> Result<Page, Error> {
    match query.at {
        Consistency::Exact(revision) => match recent(core, &query, revision) {
            Some(page) => Ok(page),
            None => past(core, &query, revision).await,
        },
        Consistency::Latest | Consistency::Cached | Consistency::NotOlderThan(_) => {
            Ok(newest(core, &query))
        }
    }
}

fn newest(core: &Core, query: &ListQuery) -> Page {
    let (revision, objects, left) = core.cache.read(|state| {
        let mut objects = state.objects(
            &query.resource,
            query.namespace.as_ref(),
            query.after.as_ref(),
        );
        // Without a filter only the page is taken; the rest is counted.
        let most = match (&query.filter, query.limit) {
            (None, Some(limit)) => limit,
            _ => usize::MAX,
        };
        let page: Vec<_> = objects.by_ref().take(most).cloned().collect();
        (state.revision, page, objects.count())
    });
    let mut page = cut(objects, query, revision);
    page.more |= left > 0;
    if query.filter.is_none() && page.more {
        page.remaining = Some(page.remaining.unwrap_or(0) + left);
    }
    page
}

/// The state at a revision that is still in memory.
fn recent(core: &Core, query: &ListQuery, revision: u64) -> Option<Page> {
    let (objects, undone) = core.cache.read(|state| {
        let undone = state.undo(&query.resource, revision)?;
        let namespace = query.namespace.as_ref();
        let objects = state.objects(&query.resource, namespace, query.after.as_ref());
        Some((objects.cloned().collect::<Vec<_>>(), undone))
    })?;
    let place = |object: &Arc<Object>| (object.key.namespace.clone(), object.key.name.clone());
    let mut then: BTreeMap<_, _> = objects
        .into_iter()
        .map(|object| (place(&object), object))
        .collect();
    for (place, object) in undone {
        let wanted = query.after.as_ref().is_none_or(|after| place > *after)
            && query
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == place.0);
        match object {
            Some(object) if wanted => drop(then.insert(place, object)),
            _ => drop(then.remove(&place)),
        }
    }
    Some(cut(then.into_values(), query, revision))
}

/// The state at a revision that only the log has.
async fn past(core: &Core, query: &ListQuery, revision: u64) -> Result<Page, Error> {
    let selection = query.selection();
    let wanted = query
        .limit
        .map_or(usize::MAX, |limit| limit.saturating_add(1));
    let chunk = match query.filter {
        None => wanted.min(CHUNK),
        Some(_) => CHUNK,
    };
    let mut after = query.after.clone();
    let mut admitted = Vec::new();
    loop {
        let (head, objects) =
            db::list_at(&core.pool, &selection, revision, after.as_ref(), chunk).await?;
        check(revision, head.compacted)?;
        let last = objects.len() < chunk;
        if let Some(object) = objects.last() {
            after = Some((object.key.namespace.clone(), object.key.name.clone()));
        }
        admitted.extend(
            objects
                .into_iter()
                .filter(|object| selection.admits(object)),
        );
        if last || admitted.len() >= wanted {
            let mut page = cut(admitted, query, revision);
            if !last {
                page.remaining = None;
            }
            return Ok(page);
        }
    }
}

/// The page of a query, of objects in order.
fn cut(objects: impl IntoIterator<Item = Arc<Object>>, query: &ListQuery, revision: u64) -> Page {
    let admits = |object: &Arc<Object>| query.filter.as_ref().is_none_or(|filter| filter(object));
    let mut admitted = objects.into_iter().filter(admits);
    let Some(limit) = query.limit else {
        return Page {
            objects: admitted.collect(),
            revision,
            more: false,
            remaining: None,
        };
    };
    let objects: Vec<_> = admitted.by_ref().take(limit).collect();
    let more = admitted.next().is_some();
    let remaining = (more && query.filter.is_none()).then(|| 1 + admitted.count());
    Page {
        objects,
        revision,
        more,
        remaining,
    }
}

/// Is the history at the revision complete?
pub(crate) fn check(requested: u64, oldest: u64) -> Result<(), Error> {
    if requested < oldest {
        Err(Error::Compacted { requested, oldest })
    } else {
        Ok(())
    }
}
