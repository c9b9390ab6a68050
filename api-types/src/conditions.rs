//! Condition types and reasons: every word that a status or an Event may use, in one place.
//!
//! `Ready`, `Reconciling` and `Stalled` follow kstatus, so that Flux, Helm and `kubectl wait` read
//! them without configuration; the others are ours.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Everything is as the spec says (all kinds).
pub const READY: &str = "Ready";
/// Work is going on (all kinds); absent or False when there is none.
pub const RECONCILING: &str = "Reconciling";
/// No progress without somebody's help (all kinds); absent or False otherwise.
pub const STALLED: &str = "Stalled";
/// Enough tasks are ready (Deployment).
pub const AVAILABLE: &str = "Available";
/// The rollout goes on or is complete (Deployment).
pub const PROGRESSING: &str = "Progressing";
/// Some tasks fail although others run (Deployment).
pub const DEGRADED: &str = "Degraded";
/// Routes that target the Deployment are on its service (Deployment).
pub const ROUTED: &str = "Routed";
/// The latest update was undone (Deployment).
pub const ROLLED_BACK: &str = "RolledBack";
/// The Deployment is being deleted (Deployment).
pub const TERMINATING: &str = "Terminating";
/// Host names and paths are this Route's (Route).
pub const ACCEPTED: &str = "Accepted";
/// Every reference exists (Route).
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// The labels are written and Traefik has had time to read them (Route).
pub const PROGRAMMED: &str = "Programmed";
/// A machine of the Swarm belongs to the object (Node).
pub const BOUND: &str = "Bound";
/// New tasks may be placed on it (Node).
pub const SCHEDULABLE: &str = "Schedulable";
/// No task of a Deployment is left on it (Node).
pub const DRAINED: &str = "Drained";

/// Values of `status` in a condition.
pub mod status {
    /// It holds.
    pub const TRUE: &str = "True";
    /// It does not hold.
    pub const FALSE: &str = "False";
    /// It is not known.
    pub const UNKNOWN: &str = "Unknown";
}

/// Reasons, shared by conditions, Events and `lastFailure`.
pub mod reason {
    /// As the spec says.
    pub const READY: &str = "Ready";
    /// Nothing was observed yet.
    pub const PENDING: &str = "Pending";
    /// The controller has not finished.
    pub const PROGRESSING: &str = "Progressing";
    /// All tasks run the current spec.
    pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";
    /// Tasks are being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The number of tasks is being changed.
    pub const SCALING: &str = "Scaling";
    /// `progressDeadlineSeconds` went by without progress.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
    /// The update failed and stands still.
    pub const ROLLOUT_PAUSED: &str = "RolloutPaused";
    /// The previous spec is being restored.
    pub const ROLLING_BACK: &str = "RollingBack";
    /// The previous spec is restored.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// The rollback failed and stands still.
    pub const ROLLBACK_PAUSED: &str = "RollbackPaused";
    /// Fewer tasks are ready than wanted.
    pub const REPLICAS_NOT_READY: &str = "ReplicasNotReady";
    /// `replicas: 0`.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// The registry has no such image, or does not let us see it.
    pub const IMAGE_NOT_FOUND: &str = "ImageNotFound";
    /// The image could not be fetched.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// No node satisfies placement and resources.
    pub const NO_SUITABLE_NODE: &str = "NoSuitableNode";
    /// Tasks end again and again.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// A task was killed for using too much memory.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// The health check fails.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// A task ended with a code other than 0.
    pub const TASK_FAILED: &str = "TaskFailed";
    /// The container could not be started.
    pub const START_FAILED: &str = "StartFailed";
    /// A published port is taken on the node or in the Swarm.
    pub const PORT_CONFLICT: &str = "PortConflict";
    /// Tasks ended and the restart policy does not start them again.
    pub const COMPLETED: &str = "Completed";
    /// `spec.suspend: true`.
    pub const SUSPENDED: &str = "Suspended";
    /// The spec is impossible in a way that only shows when it is applied.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Swarm refused the service.
    pub const SWARM_REFUSED: &str = "SwarmRefused";
    /// No Swarm manager answers.
    pub const SWARM_UNREACHABLE: &str = "SwarmUnreachable";
    /// A service of that name exists and is not ours.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// A Secret or its key is missing.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A ConfigMap or its key is missing.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// A network is missing.
    pub const NETWORK_NOT_FOUND: &str = "NetworkNotFound";
    /// The service differs from the spec and is not being repaired.
    pub const DRIFTED: &str = "Drifted";
    /// Swarm objects are being removed.
    pub const DELETING: &str = "Deleting";
    /// No Route targets the Deployment.
    pub const NO_ROUTES: &str = "NoRoutes";
    /// Every accepted Route is on the service.
    pub const ROUTES_PROGRAMMED: &str = "RoutesProgrammed";
    /// Some accepted Route is not on the service yet.
    pub const ROUTES_PENDING: &str = "RoutesPending";

    /// The Route has all its host names and paths.
    pub const ACCEPTED: &str = "Accepted";
    /// Another Route has the host name and path.
    pub const CONFLICT: &str = "Conflict";
    /// Some host names or rules are another Route's.
    pub const PARTIALLY_ACCEPTED: &str = "PartiallyAccepted";
    /// Every reference exists.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// The Deployment does not exist.
    pub const BACKEND_NOT_FOUND: &str = "BackendNotFound";
    /// The Deployment has no such port.
    pub const PORT_NOT_FOUND: &str = "PortNotFound";
    /// The Deployment's port is not TCP.
    pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
    /// The labels are written and Traefik has had time to read them.
    pub const PROGRAMMED: &str = "Programmed";
    /// The labels are not written, or too recently.
    pub const NOT_PROGRAMMED: &str = "NotProgrammed";

    /// No machine of that name or id is in the Swarm.
    pub const NOT_JOINED: &str = "NotJoined";
    /// Several machines have that host name: the Swarm id must be named.
    pub const AMBIGUOUS_HOSTNAME: &str = "AmbiguousHostname";
    /// Another Node object is bound to that machine.
    pub const ALREADY_BOUND: &str = "AlreadyBound";
    /// The machine belongs to the object.
    pub const BOUND: &str = "Bound";
    /// The machine does not answer the managers.
    pub const NODE_DOWN: &str = "NodeDown";
    /// The machine's manager lost the others.
    pub const NODE_DISCONNECTED: &str = "NodeDisconnected";
    /// Availability Active.
    pub const ACTIVE: &str = "Active";
    /// Availability Pause.
    pub const PAUSED: &str = "Paused";
    /// Availability Drain, and tasks are left.
    pub const DRAINING: &str = "Draining";
    /// Availability Drain, and no task is left.
    pub const DRAINED: &str = "Drained";
    /// Availability is not Drain.
    pub const NOT_DRAINING: &str = "NotDraining";

    /// Event: the Swarm service was created.
    pub const SERVICE_CREATED: &str = "ServiceCreated";
    /// Event: the Swarm service was updated; the message names the fields with both values.
    pub const SERVICE_UPDATED: &str = "ServiceUpdated";
    /// Event: the Swarm service was removed and created again.
    pub const SERVICE_REPLACED: &str = "ServiceReplaced";
    /// Event: the Swarm service was removed.
    pub const SERVICE_DELETED: &str = "ServiceDeleted";
    /// Event: somebody changed the service and it was put right; the message names field and both values.
    pub const DRIFT_REPAIRED: &str = "DriftRepaired";
    /// Event: stop-first was chosen, and why.
    pub const STOP_FIRST_CHOSEN: &str = "StopFirstChosen";
    /// Event: the finalizer was released without cleaning up; the message names what may be left.
    pub const ABANDONED: &str = "Abandoned";
    /// Event: labels or availability of the Swarm node were changed.
    pub const NODE_UPDATED: &str = "NodeUpdated";
}
