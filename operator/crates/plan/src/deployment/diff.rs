//! Differences between two specs, in the user's words.

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path in the user's words: `image`, `env[LOG_LEVEL]`, `labels[team]`.
    pub path: String,
    /// Value on the live service; `(hidden)` where it may be secret.
    pub before: String,
    /// Value wanted; `(hidden)` where it may be secret.
    pub after: String,
    /// Does writing it replace running tasks?
    pub restarts_tasks: bool,
}
