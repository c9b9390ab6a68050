//! What the Engine's refusals mean.
//!
//! The Engine reports several different situations under one HTTP status and tells them apart
//! only by text (a stale version index is a 500). All text matching of this product is in
//! [`ErrorKind::classify`]; the contract tests pin each text against a real dockerd.

use bollard::errors::Error as BollardError;

/// A failed call to the Engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct Error {
    /// The call that failed, as it is named in the metrics (`service_update`).
    pub operation: &'static str,
    /// What the failure means.
    pub kind: ErrorKind,
}

/// What a failure means to a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The version index is stale: the object changed since it was observed. Observe and plan again.
    #[error("the object changed since it was observed ({0})")]
    Conflict(String),
    /// Another object has this name.
    #[error("the name is taken ({0})")]
    NameTaken(String),
    /// The object does not exist.
    #[error("not found ({0})")]
    NotFound(String),
    /// The Engine refuses the content of the request.
    #[error("refused by the Docker Engine: {0}")]
    Invalid(String),
    /// The Engine cannot make this change at all (a rename, a change of mode).
    #[error("not supported by the Docker Engine: {0}")]
    Unsupported(String),
    /// The object is not labelled as ours, so it is not touched.
    #[error("refused: {0}")]
    NotOurs(String),
    /// The network still has users.
    #[error("the network is in use ({0})")]
    NetworkInUse(String),
    /// The Engine is not a manager of a Swarm.
    #[error(
        "the Docker Engine at {address} is not a Swarm manager: run `docker swarm init` there, \
         or give the address of a manager ({message})"
    )]
    NotManager {
        /// Address of the Engine that was asked.
        address: String,
        /// What it answered.
        message: String,
    },
    /// The Engine is older than this product can use.
    #[error(
        "the Docker Engine at {address} speaks API {found}; 1.41 (Docker 20.10) or newer is needed"
    )]
    TooOld {
        /// Address of the Engine that was asked.
        address: String,
        /// Newest API version it speaks.
        found: String,
    },
    /// The managers have no leader: nothing can be written until they have.
    #[error("the Swarm has no leader ({0})")]
    NoLeader(String),
    /// The Engine cannot be reached.
    #[error("the Docker Engine at {address} cannot be reached: {reason}")]
    Unavailable {
        /// Address of the Engine that was asked.
        address: String,
        /// Why it cannot be reached.
        reason: String,
    },
    /// The Engine did not answer in time. A write may or may not have been carried out.
    #[error("no answer from the Docker Engine at {0} in time")]
    Timeout(String),
    /// The Engine answered something that cannot be read.
    #[error("unreadable answer of the Docker Engine: {0}")]
    Unreadable(String),
    /// Any other refusal.
    #[error("HTTP {status}: {message}")]
    Other {
        /// HTTP status.
        status: u16,
        /// The Engine's message.
        message: String,
    },
}

impl Error {
    /// May the same call succeed later without anybody changing anything of ours?
    pub fn is_transient(&self) -> bool {
        match &self.kind {
            ErrorKind::NoLeader(_)
            | ErrorKind::NetworkInUse(_)
            | ErrorKind::NotManager { .. }
            | ErrorKind::TooOld { .. }
            | ErrorKind::Unavailable { .. }
            | ErrorKind::Timeout(_)
            | ErrorKind::Unreadable(_) => true,
            ErrorKind::Other { status, .. } => *status >= 500,
            ErrorKind::Conflict(_)
            | ErrorKind::NameTaken(_)
            | ErrorKind::NotFound(_)
            | ErrorKind::Invalid(_)
            | ErrorKind::Unsupported(_)
            | ErrorKind::NotOurs(_) => false,
        }
    }

    /// Was the plan made from an observation that is no longer true?
    pub fn is_conflict(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict(_))
    }
}

impl ErrorKind {
    /// Reads the Engine's status and message.
    pub(crate) fn classify(address: &str, status: u16, message: String) -> Self {
        let has = |text: &str| message.contains(text);
        if has("update out of sequence") {
            Self::Conflict(message)
        } else if has("not a swarm manager") || has("Worker nodes can't be used") {
            Self::NotManager {
                address: address.to_owned(),
                message,
            }
        } else if has("does not have a leader")
            || has("lost leader status")
            || has("no elected primary")
        {
            Self::NoLeader(message)
        } else if has("is in use by") || has("has active endpoints") {
            Self::NetworkInUse(message)
        } else if has("name conflicts with an existing object") {
            // A 500 where two networks of one name are made at the same time.
            Self::NameTaken(message)
        } else {
            match status {
                400 => Self::Invalid(message),
                // A network that goes away while it is being removed is told as a 500.
                500 if has("network") && has("not found") => Self::NotFound(message),
                404 => Self::NotFound(message),
                409 => Self::NameTaken(message),
                501 => Self::Unsupported(message),
                _ => Self::Other { status, message },
            }
        }
    }

    pub(crate) fn from_bollard(address: &str, error: BollardError) -> Self {
        match error {
            BollardError::DockerResponseServerError {
                status_code,
                message,
            } => Self::classify(address, status_code, message),
            BollardError::RequestTimeoutError => Self::Timeout(address.to_owned()),
            BollardError::JsonDataError { message, .. } => Self::Unreadable(message),
            BollardError::JsonSerdeError { err } => Self::Unreadable(err.to_string()),
            BollardError::APIVersionParseError {} => Self::Unreadable("no API version".to_owned()),
            other => Self::Unavailable {
                address: address.to_owned(),
                reason: chain(&other),
            },
        }
    }

    /// Does this say that the connection, rather than the request, is broken?
    pub(crate) fn is_connection(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout(_))
    }

    /// Outcome label of the metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::NameTaken(_) => "name_taken",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Unsupported(_) => "unsupported",
            Self::NotOurs(_) => "not_ours",
            Self::NetworkInUse(_) => "network_in_use",
            Self::NotManager { .. } => "not_manager",
            Self::TooOld { .. } => "too_old",
            Self::NoLeader(_) => "no_leader",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout(_) => "timeout",
            Self::Unreadable(_) => "unreadable",
            Self::Other { .. } => "other",
        }
    }
}

/// An error with its sources: hyper's own text alone ("client error (Connect)") says nothing.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_and_status_decides_the_rest() {
        let cases = [
            (
                500,
                "rpc error: code = Unknown desc = update out of sequence",
                "conflict",
            ), // T16
            (
                503,
                "This node is not a swarm manager. Use \"docker swarm init\"",
                "not_manager",
            ),
            (
                500,
                "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status",
                "no_leader",
            ),
            (
                500,
                "rpc error: code = Unknown desc = The swarm does not have a leader.",
                "no_leader",
            ),
            (
                500,
                "rpc error: code = Unknown desc = raft: raft message is too large",
                "other",
            ),
            (400, "network n is in use by service s", "network_in_use"),
            (
                403,
                "error while removing network: network n has active endpoints",
                "network_in_use",
            ),
            (
                409,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object",
                "name_taken",
            ),
            (
                501,
                "rpc error: code = Unimplemented desc = renaming services is not supported",
                "unsupported",
            ),
            (
                500,
                "rpc error: code = Unknown desc = name conflicts with an existing object",
                "name_taken",
            ),
            (404, "service x not found", "not_found"),
            (400, "invalid mount", "invalid"),
        ];
        for (status, text, outcome) in cases {
            let kind = ErrorKind::classify("unix:///s", status, text.to_owned());
            assert_eq!(kind.outcome(), outcome, "{status} {text}");
        }
    }
}
