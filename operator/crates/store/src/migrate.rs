//! Brings the database to this program's schema, or says why not.

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

use crate::error::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations");

/// Applies what is missing, under sqlx's advisory lock.
///
/// # Errors
/// `Database` where the schema is newer than this program or was changed by hand.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), Error> {
    match MIGRATIONS.run(pool).await {
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
