//! Docker events, as a bell without a message.
//!
//! Events have no replay, and none tells of a task on another node (T24): they only make the
//! observer look sooner. Losing them costs time, never truth.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::models::EventMessageTypeEnum as About;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;

use crate::client::Inner;
use crate::error::ErrorKind;

/// Time before the stream is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// Kinds of objects whose events say that a snapshot may differ.
const KINDS: [&str; 6] = [
    "service",
    "node",
    "network",
    "container",
    "secret",
    "config",
];

/// Actions that may differ a snapshot. Health checks make three `exec_…` events each time they
/// run; naming the actions keeps those at the Engine.
const ACTIONS: [&str; 9] = [
    "create",
    "update",
    "remove",
    "destroy",
    "start",
    "die",
    "oom",
    "health_status",
    "rename",
];

/// Rings for ever.
pub(crate) async fn run(inner: &Inner) {
    loop {
        listen(inner).await;
        // The stream ended: what happened since is not known, and the Engine may be gone.
        inner.doorbell.notify_one();
        tokio::time::sleep(REOPEN).await;
    }
}

/// Rings for every event until the stream ends.
async fn listen(inner: &Inner) {
    let Ok(connection) = inner.connection().await else {
        return; // the observer's polls meet the same error and report it
    };
    let filters = HashMap::from([
        ("type".to_owned(), KINDS.map(str::to_owned).to_vec()),
        ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
    ]);
    let options = EventsOptions {
        filters: Some(filters),
        ..Default::default()
    };
    let mut events = std::pin::pin!(connection.docker.events(Some(options)));
    while let Some(event) = events.next().await {
        let about = match event {
            Ok(event) => event.typ,
            Err(error) => {
                let kind = ErrorKind::from_bollard(&inner.config.address.to_string(), error);
                tracing::debug!(error = %kind, "the stream of Docker events broke");
                return;
            }
        };
        // These lists are not read by every poll.
        if matches!(about, Some(About::NODE | About::NETWORK)) {
            inner.slow_due.store(true, Ordering::SeqCst);
        }
        inner.doorbell.notify_one();
    }
}
