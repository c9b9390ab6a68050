//! All Routes together, resolved once per change of any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_types::{Deployment, Route};
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use plan::route::{Resolution, resolve};
use tokio::sync::watch;

/// Counts changes of Routes and Deployments.
#[derive(Debug)]
pub(crate) struct Changes {
    count: AtomicU64,
    told: watch::Sender<u64>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(1),
            told: watch::channel(0).0,
        }
    }
}

impl Changes {
    /// Something changed; called after the change is in its store.
    pub fn touch(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.told.send_replace(count);
    }

    /// Wakes on every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

/// Keeps the resolution of the watched Routes and Deployments.
pub(crate) struct Resolver {
    routes: Store<Route>,
    deployments: Store<Deployment>,
    changes: Arc<Changes>,
    resolved: Mutex<(u64, Arc<Resolution>)>,
}

impl Resolver {
    pub fn new(
        routes: Store<Route>,
        deployments: Store<Deployment>,
        changes: Arc<Changes>,
    ) -> Self {
        Self {
            routes,
            deployments,
            changes,
            resolved: Mutex::default(),
        }
    }

    /// Wakes on every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The resolution of all that the stores hold now, at least as new as the last change told.
    pub fn resolution(&self) -> Arc<Resolution> {
        let mut resolved = self.resolved.lock();
        // Read before the stores: a change in between is resolved once more, never lost.
        let change = self.changes.count.load(Ordering::SeqCst);
        if resolved.0 != change {
            let routes = self.routes.state();
            let deployments = self.deployments.state();
            let resolution = resolve(
                routes.iter().map(Arc::as_ref),
                deployments.iter().map(Arc::as_ref),
            );
            *resolved = (change, Arc::new(resolution));
        }
        resolved.1.clone()
    }
}
