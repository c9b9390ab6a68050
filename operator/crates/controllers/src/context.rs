//! What all reconciles share.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api_types::{Deployment, Node, Route};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use plan::deployment::{LogTail, Refusal};
use plan::retry::jittered;
use plan::{ClusterConfig, Observed, PlannedEvent};
use swarm::{Observation, Swarm};

use crate::events::Events;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::pending::Pending;
use crate::resolver::Resolver;
use crate::watchers::Kept;

/// Every object is looked at this often even if nothing happens: triggers may be lost (T24).
const RESYNC: Duration = Duration::from_secs(300);
/// Time until the observation that has seen our own last act is expected.
pub(crate) const STALE: Duration = Duration::from_millis(250);

/// Settings of the controllers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings of the installation that decisions depend on.
    pub cluster: ClusterConfig,
    /// Objects of one kind that are reconciled at the same time.
    pub concurrency: u16,
}

/// What the reconciles of all kinds share.
pub(crate) struct Context {
    pub client: Client,
    pub swarm: Swarm,
    pub settings: Settings,
    pub deployments: Kept<Deployment>,
    pub routes: Kept<Route>,
    pub nodes: Kept<Node>,
    pub resolver: Resolver,
    pub events: Events,
    pub metrics: Metrics,
    pub notes: Arc<Mutex<HashMap<String, Notes>>>,
    /// New specs of Deployments.
    pub pending: Pending,
}

/// What is known of a Deployment besides its object and the Swarm, by uid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// The log tail that the last plan asked for.
    pub log_tail: Option<LogTail>,
    /// Events of acts that the next report is to publish.
    pub events: Vec<PlannedEvent>,
    /// Why the Swarm refused the last step.
    pub refusal: Option<Refusal>,
}

/// What the reconciles of one kind share.
pub(crate) struct Scope<K> {
    pub kind: &'static str,
    pub context: Arc<Context>,
    pub memory: Arc<Memory<K>>,
}

impl Context {
    /// What is known of the Swarm now.
    pub fn observation(&self) -> Observation {
        self.swarm.observations().borrow().clone()
    }

    /// The clock that conditions are stamped with.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    pub fn notes(&self, uid: &str) -> Notes {
        self.notes.lock().get(uid).cloned().unwrap_or_default()
    }

    pub fn note(&self, uid: &str, change: impl FnOnce(&mut Notes)) {
        change(self.notes.lock().entry(uid.to_owned()).or_default());
    }
}

impl<K: ResourceExt + Clone + Debug> Scope<K> {
    /// What is known of the Swarm now; `None` while that has not seen our own last act on the
    /// object of this uid.
    pub fn observation(&self, uid: &str) -> Option<Observation> {
        let observation = self.context.observation();
        let stale = observation
            .snapshot()
            .is_some_and(|snapshot| snapshot.as_of < self.memory.last_act(uid));
        (!stale).then_some(observation)
    }
}

/// The decisions' view of an observation.
pub(crate) fn observed(observation: &Observation) -> Observed<'_> {
    match observation {
        Observation::Known(snapshot) => Observed::Known(snapshot),
        Observation::Unknown { reason, .. } => Observed::Unknown(reason),
    }
}

/// The end of a reconcile that waits for nothing earlier than the periodic look, or for `recheck`.
pub(crate) fn look_again<K: Resource>(object: &K, recheck: Option<Duration>) -> Action {
    let mut hasher = DefaultHasher::new();
    (object.uid(), object.resource_version()).hash(&mut hasher);
    let resync = jittered(RESYNC, hasher.finish());
    Action::requeue(recheck.map_or(resync, |recheck| recheck.min(resync)))
}
