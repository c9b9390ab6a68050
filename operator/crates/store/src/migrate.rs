//! Brings the database to this program's schema, or says why not.

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

use crate::db::Connector;
use crate::error::Error;
use crate::shared::CONNECT_PATIENCE;

static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations");

/// Applies what is missing, under sqlx's advisory lock, on a connection of its own: the lock goes
/// with it, however it ends, and a migration may take longer than other statements.
///
/// # Errors
/// `Database` where the schema is newer than this program or was changed by hand.
pub(crate) async fn migrate(connector: &Connector) -> Result<(), Error> {
    // sqlx takes a pool or nothing that is `Send`; one of one connection is that connection.
    let connection = connector.pool(1, CONNECT_PATIENCE);
    let result = run(&connection).await;
    connection.close().await;
    result
}

async fn run(connection: &PgPool) -> Result<(), Error> {
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0")
        .execute(connection)
        .await?;
    match MIGRATIONS.run(connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(error.into())
        }
        Err(MigrateError::VersionMissing(version)) => Err(Error::Database(format!(
            "the database has migration {version}, which this program does not know: it was used \
             by a newer version; run that one, or restore a backup made before the upgrade"
        ))),
        Err(MigrateError::VersionMismatch(version)) => Err(Error::Database(format!(
            "migration {version} in the database is not the one of this program; it was changed \
             after it was applied"
        ))),
        Err(error) => Err(Error::Database(error.to_string())),
    }
}
