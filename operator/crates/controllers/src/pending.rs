//! Acts before reports: which specs nobody has acted on yet.
//!
//! When a hundred Deployments are applied at once, the looks at the Swarm that the first of them
//! cause would have their Events, status and rows written while the others still wait for their
//! services. What follows from a look at the Swarm therefore waits for new specs, for a moment.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest that anything waits for new specs: a stream of them must not hold up what the Swarm
/// tells, nor an object that never comes to its turn.
const PATIENCE: Duration = Duration::from_millis(500);

/// Uids of objects with a spec that no reconcile has looked at.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    uids: Mutex<HashSet<String>>,
    none: watch::Sender<bool>,
}

impl Pending {
    /// The object has a new spec.
    pub fn add(&self, uid: String) {
        let mut uids = self.uids.lock();
        uids.insert(uid);
        self.none.send_replace(false);
    }

    /// The object was reconciled, or is gone.
    pub fn remove(&self, uid: &str) {
        let mut uids = self.uids.lock();
        uids.remove(uid);
        let none = uids.is_empty();
        self.none
            .send_if_modified(|was| std::mem::replace(was, none) != none);
    }

    /// Waits until there are none; those that are left after a while are not waited for again.
    pub async fn settled(&self) {
        if self.uids.lock().is_empty() {
            return;
        }
        let mut none = self.none.subscribe();
        if timeout(PATIENCE, none.wait_for(|none| *none))
            .await
            .is_err()
        {
            self.uids.lock().clear();
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
