//! Leadership: one process runs the controllers, the others wait.
//!
//! The lease is a row with an epoch, by the database's clock. A lease is no fence by itself (T28):
//! the work is cancelled at two thirds of the lease without a renewal, and what it writes to the
//! projections carries the epoch. A lost database therefore stops the controllers, and its return
//! starts them again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use store::{Epoch, Lease, LeaseOutcome, Store};
use tokio_util::sync::CancellationToken;

/// Name of the lease of the controllers.
const LEASE: &str = "controllers";
/// Time between two tries to get the lease, or to reach the database.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of leadership, for `/health` and for the fence.
#[derive(Clone, Default)]
pub struct Leadership(Arc<RwLock<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    epoch: Option<Epoch>,
    holder: String,
}

impl Leadership {
    /// The epoch to write under, while this process leads.
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.read().epoch.clone()
    }

    /// Who leads, as far as this process knows.
    pub fn holder(&self) -> String {
        self.0.read().holder.clone()
    }

    fn set(&self, epoch: Option<Epoch>, holder: &str) {
        *self.0.write() = State {
            epoch,
            holder: holder.to_owned(),
        };
    }
}

/// Campaigns until `stop`; while leading, runs `work`, whose token is cancelled when leadership
/// ends. `work` has returned before the lease is released.
pub async fn campaign<W>(
    store: Store,
    identity: String,
    ttl: Duration,
    leadership: Leadership,
    stop: CancellationToken,
    work: impl Fn(CancellationToken) -> W,
) where
    W: Future<Output = ()> + Send + 'static,
{
    while !stop.is_cancelled() {
        match store.acquire_lease(LEASE, &identity, ttl).await {
            Ok(LeaseOutcome::Held(lease)) => {
                tracing::info!(epoch = lease.epoch().number, "leading");
                leadership.set(Some(lease.epoch().clone()), &identity);
                let token = stop.child_token();
                let running = tokio::spawn(end_with(token.clone(), work(token.clone())));
                let lease = hold(&store, lease, ttl, &token).await;
                leadership.set(None, "");
                token.cancel();
                if let Err(error) = running.await {
                    tracing::error!("the controllers ended abnormally: {error}");
                }
                if let Some(lease) = lease
                    && let Err(error) = store.release_lease(lease).await
                {
                    tracing::warn!("the lease was not released and will run out: {error}");
                }
            }
            Ok(LeaseOutcome::Taken { holder, .. }) => {
                if leadership.holder() != holder {
                    tracing::info!(holder, "another process leads; waiting");
                    leadership.set(None, &holder);
                }
            }
            Err(error) => tracing::warn!("no lease: {error}"),
        }
        stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Cancels the token when the work has ended, however it did: nobody leads without controllers.
async fn end_with(token: CancellationToken, work: impl Future<Output = ()>) {
    let _ended = token.drop_guard();
    work.await;
}

/// Renews the lease until `stop`, or until it may no longer be acted on. Returns it where it is
/// still ours.
async fn hold(
    store: &Store,
    mut lease: Lease,
    ttl: Duration,
    stop: &CancellationToken,
) -> Option<Lease> {
    loop {
        let end = lease.act_until();
        let pause = (ttl / 6).min(end.saturating_duration_since(Instant::now()));
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return Some(lease);
        }
        match tokio::time::timeout_at(end.into(), store.renew_lease(&mut lease)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                tracing::warn!("another process took the lease: stopping the controllers");
                return None;
            }
            Ok(Err(error)) => tracing::warn!("the lease was not renewed: {error}"),
            Err(_) => {}
        }
        if !lease.may_act() {
            tracing::warn!("the lease could not be renewed in time: stopping the controllers");
            return Some(lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::panic)]
    async fn work_that_panics_ends_the_term() {
        let token = CancellationToken::new();
        let running = tokio::spawn(end_with(token.clone(), async { panic!("a bug") }));
        token.cancelled().await;
        assert!(running.await.is_err());
    }
}
