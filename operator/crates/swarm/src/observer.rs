//! The one observer: polls the Swarm and publishes what it saw.
//!
//! # Guarantees
//! - Polls are the truth; events and acts only make the next poll come sooner (T24).
//! - Subscribers are woken by a change of content or of known to unknown, not by every poll.
//! - A snapshot with `as_of >= stamp` was read wholly after the act that returned `stamp` (T23).
//! - Many acts or events in a row share polls: two polls never begin within `min_poll_gap`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use plan::model::Snapshot;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Inner, Swarm};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Answers, Lists};

/// Time between two attempts while polls fail.
const RETRY: Duration = Duration::from_millis(250);

/// Polls take at most about a tenth of the time, whatever the Swarm's size: the Engine has other work.
const REST: u32 = 9;

/// What is known of the Swarm.
#[derive(Clone, Debug)]
pub enum Observation {
    /// The Swarm as the last poll saw it.
    Known(Arc<Snapshot>),
    /// Polls fail: nothing may be concluded about the Swarm.
    Unknown {
        /// Why, for a person.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// A snapshot as new as wanted did not come in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no observation of the Swarm as of position {stamp} in time: {reason}")]
pub struct WaitError {
    /// The position that was waited for.
    pub stamp: u64,
    /// Why there was none.
    pub reason: String,
}

impl Observation {
    pub(crate) fn initial() -> Self {
        Self::Unknown {
            reason: "not observed yet".to_owned(),
            since: Timestamp::now(),
        }
    }

    /// The snapshot, if the Swarm is known.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Known(snapshot) => Some(snapshot),
            Self::Unknown { .. } => None,
        }
    }
}

impl Swarm {
    /// What is known of the Swarm, now and from now on.
    pub fn observations(&self) -> watch::Receiver<Observation> {
        self.inner.observation.subscribe()
    }

    /// Asks for a poll of everything, and returns the position to wait for.
    pub fn refresh(&self) -> u64 {
        self.inner.mark(true)
    }

    /// Waits for a snapshot that was read after the act (or refresh) that returned `stamp`.
    ///
    /// # Errors
    /// There was none in time; the reason says why.
    pub async fn snapshot_at_least(
        &self,
        stamp: u64,
        limit: Duration,
    ) -> Result<Arc<Snapshot>, WaitError> {
        let mut polled = self.inner.polled.subscribe();
        let wait = async {
            loop {
                polled.mark_unchanged();
                if let Observation::Known(snapshot) = &*self.inner.observation.borrow()
                    && snapshot.as_of >= stamp
                {
                    return Ok(Arc::clone(snapshot));
                }
                polled.changed().await?;
            }
        };
        match timeout(limit, wait).await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(watch::error::RecvError { .. })) | Err(_) => {
                let reason = match &*self.inner.observation.borrow() {
                    Observation::Known(seen) => format!("the last one is as of {}", seen.as_of),
                    Observation::Unknown { reason, .. } => reason.clone(),
                };
                Err(WaitError { stamp, reason })
            }
        }
    }
}

/// Polls until cancelled.
pub(crate) async fn run(inner: &Inner, cancel: &CancellationToken) {
    let mut observer = Observer {
        inner,
        lists: Lists::new(),
        stale: true,
        slow_read: None,
        last_good: None,
    };
    cancel.run_until_cancelled(observer.observe_forever()).await;
}

struct Observer<'a> {
    inner: &'a Inner,
    lists: Lists,
    /// The lists differ from what was last published.
    stale: bool,
    slow_read: Option<Instant>,
    last_good: Option<Instant>,
}

impl Observer<'_> {
    async fn observe_forever(&mut self) {
        let config = &self.inner.config;
        loop {
            let began = Instant::now();
            let good = self.poll_once(began).await;
            let took = began.elapsed();
            let gap = config.min_poll_gap.max(took * REST);
            if good {
                self.wait_for_reason(began + config.poll_interval.max(gap))
                    .await;
            } else {
                sleep(RETRY).await;
            }
            sleep_until(began + gap).await;
        }
    }

    /// Waits for the time of the next poll, an act, or an event and those that follow it.
    async fn wait_for_reason(&self, due: Instant) {
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.inner.refresh.notified() => {}
            () = self.inner.doorbell.notified() => {
                tokio::select! {
                    () = sleep(self.inner.config.debounce) => {}
                    () = self.inner.refresh.notified() => {}
                }
            }
        }
    }

    /// One poll, published. A poll that hangs makes the Swarm unknown while it still runs.
    async fn poll_once(&mut self, began: Instant) -> bool {
        let inner = self.inner;
        // What rang before the poll begins is seen by it.
        inner.refresh.notified().now_or_never();
        inner.doorbell.notified().now_or_never();
        let as_of = inner.position();
        let slow_due = inner.slow_due.swap(false, Ordering::SeqCst);
        let slow = slow_due
            || self
                .slow_read
                .is_none_or(|at| began - at >= inner.config.slow_poll_interval);
        let result = {
            let read = read(inner, slow);
            tokio::pin!(read);
            match timeout(inner.config.unknown_after, &mut read).await {
                Ok(result) => result,
                Err(_) => {
                    let address = inner.config.address.to_string();
                    publish_unknown(inner, &ErrorKind::Timeout(address).to_string());
                    read.await
                }
            }
        };
        let result = result.and_then(|answers| {
            self.stale |= self.lists.update(&answers).map_err(|error| Error {
                operation: "poll",
                kind: ErrorKind::Unreadable(error.to_string()),
            })?;
            Ok(())
        });
        inner.metrics.polled(result.is_ok());
        match result {
            Ok(()) => {
                if slow {
                    self.slow_read = Some(began);
                }
                self.last_good = Some(Instant::now());
                self.publish(as_of);
                true
            }
            Err(error) => {
                inner.slow_due.fetch_or(slow, Ordering::SeqCst);
                self.failed(&error);
                false
            }
        }
    }

    /// A failure that may pass within moments is not yet a reason to know nothing.
    fn failed(&self, error: &Error) {
        let certain = matches!(
            error.kind,
            ErrorKind::NotManager { .. } | ErrorKind::TooOld { .. }
        );
        let patience = self.inner.config.unknown_after;
        if certain || self.last_good.is_none_or(|at| at.elapsed() >= patience) {
            publish_unknown(self.inner, &error.kind.to_string());
        }
    }

    fn publish(&mut self, as_of: u64) {
        let inner = self.inner;
        let current = inner.observation.borrow().snapshot().cloned();
        let up_to_date = current
            .as_ref()
            .is_some_and(|seen| !self.stale && seen.as_of == as_of);
        if !up_to_date {
            let next = self.lists.snapshot(as_of);
            let news = current
                .as_ref()
                .is_none_or(|seen| !same_content(seen, &next));
            if current.is_none() {
                tracing::info!(
                    swarm.services = next.services.len(),
                    swarm.nodes = next.nodes.len(),
                    "the Swarm is known"
                );
            }
            inner.metrics.observed(&next);
            inner.observation.send_if_modified(|observation| {
                *observation = Observation::Known(Arc::new(next));
                news
            });
            self.stale = false;
        }
        inner.polled.send_replace(as_of);
    }
}

/// Reads the lists one after the other over one connection.
async fn read(inner: &Inner, slow: bool) -> Result<Answers, Error> {
    let ours = format!("{}={}", inner.config.owner_label, inner.config.cluster_uid);
    let ours = filters("label", &ours);
    let services = get(inner, "service_list", format!("/services?{ours}")).await?;
    // Matches the labels that the service had when the task was made, so that tasks of a
    // removed service are seen until they are gone.
    let tasks = get(inner, "task_list", format!("/tasks?{ours}")).await?;
    let slow = if slow {
        let overlay = filters("driver", "overlay");
        Some((
            get(inner, "node_list", "/nodes".to_owned()).await?,
            get(inner, "network_list", format!("/networks?{overlay}")).await?,
        ))
    } else {
        None
    };
    Ok(Answers {
        services,
        tasks,
        slow,
    })
}

async fn get(inner: &Inner, operation: &'static str, path: String) -> Result<bytes::Bytes, Error> {
    let limit = inner.config.read_timeout;
    inner
        .call(operation, limit, async |c| c.raw.get(&path).await)
        .await
}

/// The Engine's `filters` query parameter.
fn filters(key: &str, value: &str) -> String {
    let json = serde_json::json!({ key: [value] }).to_string();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &json)
        .finish()
}

fn publish_unknown(inner: &Inner, why: &str) {
    inner.observation.send_if_modified(|observation| {
        let since = match observation {
            Observation::Unknown { reason, .. } if reason == why => return false,
            Observation::Unknown { since, .. } => *since,
            Observation::Known(_) => Timestamp::now(),
        };
        tracing::warn!(reason = why, "the Swarm is unknown");
        *observation = Observation::Unknown {
            reason: why.to_owned(),
            since,
        };
        true
    });
}

/// Equality of everything but the position.
fn same_content(a: &Snapshot, b: &Snapshot) -> bool {
    let Snapshot {
        as_of: _,
        services,
        tasks,
        nodes,
        networks,
    } = a;
    *services == b.services && *tasks == b.tasks && *nodes == b.nodes && *networks == b.networks
}
