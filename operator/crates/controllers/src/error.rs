//! What can go wrong in a reconcile, and whether to try again.

use plan::retry::Class;

use crate::sink::SinkError;

/// A reconcile that failed. Waiting for something is not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("{doing}: {}", Spoken(.source))]
    Api {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: kube::Error,
    },
    /// The Swarm refused or did not answer.
    #[error("{doing}: {source}")]
    Swarm {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: swarm::Error,
    },
    /// A projection could not be written.
    #[error(transparent)]
    Projection(#[from] SinkError),
    /// kube's finalizer helper failed to add or remove the finalizer.
    #[error("finalizer: {}", Spoken(.0))]
    Finalizer(#[source] kube::Error),
    /// The object has no name, namespace or uid: the API server never sends such a thing.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
}

impl Error {
    /// Names what was being done when an API call failed.
    pub fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { doing, source }
    }

    /// The class that decides about trying again (T21).
    pub fn class(&self) -> Class {
        match self {
            Self::Api { source, .. } | Self::Finalizer(source) => match source {
                kube::Error::Api(status) if status.is_conflict() => Class::Conflict,
                kube::Error::Api(status)
                    if (400..500).contains(&status.code) && status.code != 429 =>
                {
                    Class::Bug
                }
                kube::Error::Api(status) if status.code == 503 => Class::Unavailable,
                kube::Error::Api(_) => Class::Transient,
                _ => Class::Unavailable,
            },
            // A name that we took ourselves without hearing of it, a service that somebody
            // removed: the world is not as it was planned on.
            Self::Swarm { source, .. }
                if source.is_conflict()
                    || matches!(
                        source.kind,
                        swarm::ErrorKind::NameTaken(_) | swarm::ErrorKind::NotFound(_)
                    ) =>
            {
                Class::Conflict
            }
            Self::Swarm { source, .. } if source.is_transient() => Class::Unavailable,
            Self::Swarm { .. } => Class::Transient,
            Self::Projection(_) => Class::Unavailable,
            Self::Incomplete(_) => Class::Bug,
        }
    }
}

/// A client error as a person would say it: of a refusal, the server's own message, where
/// `kube::Error` prints the whole `Status`.
pub(crate) struct Spoken<'a>(pub &'a kube::Error);

impl Spoken<'_> {
    /// Was it refused because the namespace is being deleted?
    pub fn in_terminating_namespace(&self) -> bool {
        let kube::Error::Api(status) = self.0 else {
            return false;
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    }
}

impl std::fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            kube::Error::Api(status) => f.write_str(&status.message),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    /// Without its database the API server answers 503 to everybody.
    #[test]
    fn an_api_server_without_a_database_is_an_outage() {
        for (code, class) in [
            (503, Class::Unavailable),
            (500, Class::Transient),
            (422, Class::Bug),
        ] {
            let status = Status::failure("no", "Whatever").with_code(code).boxed();
            let error = Error::api("writing")(kube::Error::Api(status));
            assert_eq!(error.class(), class, "{code}");
        }
    }
}
