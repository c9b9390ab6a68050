//! The database: the one that was given, or our own.

use std::path::Path;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::DatabaseArgs;
use crate::embedded_postgres::EmbeddedPostgres;

/// A database that is there until `stop`.
pub(super) enum Database {
    /// Somebody else's.
    Given(String),
    /// Ours, started again whenever it is gone.
    Embedded {
        postgres: EmbeddedPostgres,
        supervisor: JoinHandle<()>,
        cancel: CancellationToken,
    },
}

impl Database {
    pub async fn open(args: &DatabaseArgs, data_dir: &Path) -> anyhow::Result<Self> {
        if let Some(url) = &args.database_url {
            return Ok(Self::Given(url.clone()));
        }
        let postgres = EmbeddedPostgres::start(&data_dir.join("postgres")).await?;
        let cancel = CancellationToken::new();
        let supervisor = tokio::spawn(postgres.clone().supervise(cancel.clone()));
        Ok(Self::Embedded {
            postgres,
            supervisor,
            cancel,
        })
    }

    pub fn url(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Embedded { postgres, .. } => postgres.url(),
        }
    }

    pub async fn stop(self) {
        let Self::Embedded {
            postgres,
            supervisor,
            cancel,
        } = self
        else {
            return;
        };
        cancel.cancel();
        let _ = supervisor.await;
        match postgres.stop().await {
            Ok(()) => tracing::info!("the embedded Postgres stopped"),
            Err(error) => tracing::warn!("the embedded Postgres did not stop: {error:#}"),
        }
    }
}
