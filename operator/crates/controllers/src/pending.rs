//! Acts before reports: which specs nobody has acted on yet.
//!
//! When a hundred Deployments are applied at once, the looks at the Swarm that the first of them
//! cause would have their Events, status and rows written while the others still wait for their
//! services. What follows from a look at the Swarm therefore waits for new specs, for a moment.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Longest that anything waits for new specs: a stream of them must not hold up what the Swarm
/// tells, nor an object that never comes to its turn.
const PATIENCE: Duration = Duration::from_millis(500);

/// Uids of objects with a spec that no reconcile has looked at.
#[derive(Debug, Default)]
pub(crate) struct Pending(watch::Sender<HashSet<String>>);

impl Pending {
    /// The object has a new spec.
    pub fn add(&self, uid: String) {
        self.0.send_if_modified(|uids| {
            uids.insert(uid);
            false // nobody waits for more of them
        });
    }

    /// The object was reconciled, or is gone.
    pub fn remove(&self, uid: &str) {
        self.0
            .send_if_modified(|uids| uids.remove(uid) && uids.is_empty());
    }

    /// Waits until there are none; those that are left after a while are not waited for again.
    pub async fn settled(&self) {
        let mut uids = self.0.subscribe();
        let none = uids.wait_for(HashSet::is_empty);
        if timeout(PATIENCE, none).await.is_err() {
            self.0.send_modify(HashSet::clear);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn waits_for_the_last_one_and_never_for_long() {
        let pending = Arc::new(Pending::default());
        pending.settled().await;
        pending.add("a".into());
        pending.add("b".into());
        let mut waiting = Box::pin(pending.settled());
        assert!(waiting.as_mut().now_or_never().is_none());
        pending.remove("a");
        assert!(waiting.as_mut().now_or_never().is_none());
        pending.remove("b");
        waiting.await;

        pending.add("lost".into());
        pending.settled().await;
        let again = pending.settled().now_or_never();
        assert!(again.is_some(), "a second time nobody waits for it");
    }
}
